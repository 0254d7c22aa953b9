package visual

import (
	"context"

	"github.com/chromedp/cdproto/animation"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// still ends animations and transitions the moment they begin, where they lead, and hides the caret. The style sheet is
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

// finish is a function that ends an animation where it leads. What runs for ever leads nowhere, and is taken away.
const finish = `function() { try { this.finish() } catch { this.cancel() } }`

// drawn waits until the page as it is now has been drawn.
const drawn = `new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))`

// endAnimations ends those that the style sheet does not reach: by script, and within a shadow tree, closed ones too, which
// no script of the page could list.
func endAnimations(seen *watched) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		for _, id := range seen.started() {
			found, err := cdp.Call(ctx, t, animation.ResolveAnimation, animation.ResolveAnimationParams{AnimationID: id})
			if err == nil {
				_, err = cdp.Call(ctx, t, runtime.CallFunctionOn, runtime.CallFunctionOnParams{
					FunctionDeclaration: finish, ObjectID: found.RemoteObject.ObjectID,
				})
			}
			if err != nil && ctx.Err() != nil {
				return err
			}
			// Any other error is an animation that has gone meanwhile.
		}
		return nil
	})
}

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
