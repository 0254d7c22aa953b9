package visual

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"math"
	"net/url"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"tidegate.io/tidegate/internal/probe/visual/pixel"
	"tidegate.io/tidegate/internal/probe/web"
)

// maxSide bounds a picture of a whole page, in pixels: Chromium draws no larger ones.
const maxSide = 16384

// atLeast is the time that the pictures of a page at rest may take.
const atLeast = 10 * time.Second

// shot is what was seen of a page.
type shot struct {
	picture  *image.NRGBA
	masks    []image.Rectangle
	matched  []bool // by mask: does it match anything
	status   int    // of the page; 0: no answer
	url      string // where it led
	restless bool   // it was still changing
	cut      bool   // it is longer or wider than maxSide
	wrong    string // why there is no picture
}

// shoot opens a page in a profile of its own and takes its picture. An error is one of the browser, or of ctx; what is wrong
// with the page stands in the shot.
func (b *browser) shoot(ctx context.Context, c Config, address *url.URL) (shot, error) {
	var last shot
	_, err := web.Attempts(ctx, c.Retries, func() bool {
		last = b.once(c, address)
		return last.wrong == "" && last.status < 500 && last.status != 429
	})
	switch {
	case err != nil:
		return shot{}, err
	case ctx.Err() != nil:
		return shot{}, context.Cause(ctx)
	case b.ctx.Err() != nil:
		return shot{}, errors.New("the browser ended before the probe did")
	case last.wrong == "net::ERR_PROXY_CONNECTION_FAILED":
		return shot{}, errors.New("the proxy cannot be reached")
	}
	return last, nil
}

// once opens the page one time.
func (b *browser) once(c Config, address *url.URL) shot {
	tab, closeTab := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	defer b.tabs.Go(closeTab) // which takes its time, and nobody needs to wait for it
	tab, cancel := context.WithTimeoutCause(tab, c.Timeout+2*c.Settle+atLeast, errors.New("its picture was not to be had"))
	defer cancel()
	var s shot
	err := s.take(tab, c, address)
	var load *chromedp.LoadError
	var thrown *chromedp.ExceptionError
	switch {
	case err == nil:
	case tab.Err() != nil:
		s.wrong = context.Cause(tab).Error()
	case errors.As(err, &load):
		s.wrong = load.ErrorText
	case errors.As(err, &thrown): // what it says is the page's own words
		s.wrong = "its own scripts keep its picture from being taken"
	default:
		s.wrong = web.Scrub(err.Error())
	}
	return s
}

// take loads the page, waits until it is at rest, and takes its picture.
func (s *shot) take(ctx context.Context, c Config, address *url.URL) error {
	loading, cancel := context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("it did not load within %s", c.Timeout))
	defer cancel()
	seen, err := watch(ctx)
	if err != nil {
		return err
	}
	err = chromedp.Do(loading,
		chromedp.EmulateViewport(int64(c.Width), int64(c.Height)), evaluateFirst(still),
		chromedp.Navigate(address.String()), script(fontsReady),
	)
	s.status = seen.answered()
	if err != nil {
		if loading.Err() != nil {
			return context.Cause(loading)
		}
		return err
	}
	data, err := s.settle(ctx, c, seen)
	if err != nil {
		return err
	}
	if s.picture, err = pixel.Decode(data); err != nil {
		return err
	}
	if s.url, err = chromedp.Run(ctx, chromedp.Location()); err != nil {
		return err
	}
	s.status = seen.answered()
	return s.measure(ctx, c)
}

// settle waits until the network is quiet and then until two pictures in a row are the same, each for at most c.Settle,
// and returns the last one. A page that never rests is taken as it is.
func (s *shot) settle(ctx context.Context, c Config, seen *watched) ([]byte, error) {
	quiet, cancel := context.WithTimeout(ctx, c.Settle)
	defer cancel()
	seen.idle(quiet)
	still, cancel := context.WithTimeout(ctx, c.Settle)
	defer cancel()
	var last []byte
	for {
		if err := chromedp.Do(ctx, endAnimations(seen), script(drawn)); err != nil {
			return nil, err
		}
		data, err := s.capture(ctx, c)
		if err != nil || bytes.Equal(data, last) {
			return data, err
		}
		if last = data; still.Err() != nil {
			s.restless = true
			return data, nil
		}
	}
}

// capture takes a picture.
func (s *shot) capture(ctx context.Context, c Config) ([]byte, error) {
	return chromedp.Run(ctx, func(ctx context.Context, t *chromedp.Target) ([]byte, error) {
		var params page.CaptureScreenshotParams
		if c.FullPage {
			size, err := cdp.Call(ctx, t, page.GetLayoutMetrics, cdp.Empty{})
			if err != nil {
				return nil, err
			}
			width, height := size.CSSContentSize.Width, size.CSSContentSize.Height
			s.cut = width > maxSide || height > maxSide
			beyond := true
			params.CaptureBeyondViewport = &beyond
			params.Clip = &page.Viewport{Width: min(width, maxSide), Height: min(height, maxSide), Scale: 1}
		}
		taken, err := cdp.Call(ctx, t, page.CaptureScreenshot, params)
		if err != nil {
			return nil, err
		}
		return taken.Data, nil
	})
}

// measure finds what the masks cover, in pixels of the picture.
func (s *shot) measure(ctx context.Context, c Config) error {
	if len(c.Masks) == 0 {
		return nil
	}
	selectors, err := json.Marshal(c.Masks)
	if err != nil {
		return err
	}
	found, err := chromedp.Run(ctx, chromedp.Evaluate[[][][4]float64](fmt.Sprintf("(%s)(%s, %t)", boxes, selectors, c.FullPage)))
	if err != nil {
		return err
	}
	s.matched = make([]bool, len(c.Masks))
	for i, all := range found {
		for _, box := range all {
			covered := image.Rect(int(math.Floor(box[0])), int(math.Floor(box[1])), int(math.Ceil(box[2])), int(math.Ceil(box[3])))
			if !covered.Empty() {
				s.masks = append(s.masks, covered)
				s.matched[i] = true
			}
		}
	}
	return nil
}

// checkMasks fails on what is no CSS selector.
func (b *browser) checkMasks(masks []string, within time.Duration) error {
	ctx, cancel := context.WithTimeout(b.ctx, within)
	defer cancel()
	for _, mask := range masks {
		text, err := json.Marshal(mask)
		if err != nil {
			return err
		}
		err = chromedp.Do(ctx, script(fmt.Sprintf("void document.createDocumentFragment().querySelector(%s)", text)))
		var thrown *chromedp.ExceptionError
		if errors.As(err, &thrown) {
			return fmt.Errorf("mask %q is no CSS selector", mask)
		}
		if err != nil {
			return fmt.Errorf("mask %q: %w", mask, err)
		}
	}
	return nil
}
