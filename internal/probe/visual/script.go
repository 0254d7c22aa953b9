package visual

import (
	"context"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// still ends animations and transitions the moment they begin, at where they lead, and hides the caret. The style sheet is
// constructed: no Content-Security-Policy forbids that.
const still = `{
	const sheet = new CSSStyleSheet();
	sheet.replaceSync('*, *::before, *::after { animation-duration: 0s !important; animation-delay: 0s !important; ' +
		'animation-iteration-count: 1 !important; transition-duration: 0s !important; transition-delay: 0s !important; ' +
		'caret-color: transparent !important; scroll-behavior: auto !important }');
	document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
}`

// fontsReady waits until the fonts that the page uses have come.
const fontsReady = `document.fonts.ready.then(() => {})`

// finish ends what the style sheet does not reach, such as animations by script and those in a shadow tree, and waits for
// two frames to be drawn. What runs for ever is taken away.
const finish = `new Promise(done => {
	for (const animation of document.getAnimations()) {
		try { animation.finish() } catch { animation.cancel() }
	}
	requestAnimationFrame(() => requestAnimationFrame(() => done()));
})`

// boxes is a function from selectors to the boxes of what each matches, as left, top, right, bottom: of the whole page, or
// of what is in view.
const boxes = `(selectors, whole) => selectors.map(selector => [...document.querySelectorAll(selector)].map(element => {
	const box = element.getBoundingClientRect(), x = whole ? scrollX : 0, y = whole ? scrollY : 0;
	return [box.left + x, box.top + y, box.right + x, box.bottom + y];
}))`

// script runs a script in the page, and waits for what it promises.
func script(source string) chromedp.Action[chromedp.Void] {
	return chromedp.Evaluate[chromedp.Void](source, chromedp.EvalAwaitPromise)
}

// evaluateFirst runs a script in every document of the tab before its own.
func evaluateFirst(source string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: source})
		return err
	})
}
