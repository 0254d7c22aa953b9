package visual

import (
	"context"
	"sync"

	"github.com/chromedp/cdproto/animation"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// watched follows a tab from one document to the next: a page may lead elsewhere by itself, even after it has loaded.
type watched struct {
	mu     sync.Mutex
	frame  cdp.FrameID
	loader cdp.LoaderID
	status int64
	quiet  chan struct{} // closed once the document's network is idle
	moving []string      // animations that have started
}

// watch starts to follow the tab of ctx.
func watch(ctx context.Context) (*watched, error) {
	w := &watched{quiet: make(chan struct{})}
	if err := chromedp.Do(ctx); err != nil { // opens the tab
		return nil, err
	}
	w.frame = cdp.FrameID(chromedp.FromContext(ctx).Target.TargetID) // a tab's first frame has its name
	if err := chromedp.Listen(ctx, w.take); err != nil {
		return nil, err
	}
	return w, chromedp.Do(ctx, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, animation.Enable, cdp.Empty{})
		return err
	}))
}

func (w *watched) take(ev any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch ev := ev.(type) {
	case *network.EventResponseReceived:
		if ev.FrameID == w.frame && ev.Type == network.ResourceTypeDocument {
			w.status = ev.Response.Status
		}
	case *animation.EventAnimationStarted:
		w.moving = append(w.moving, ev.Animation.ID)
	case *page.EventLifecycleEvent:
		switch {
		case ev.FrameID != w.frame:
		case ev.Name == "init":
			w.loader, w.quiet = ev.LoaderID, make(chan struct{})
		case ev.Name == "networkIdle" && ev.LoaderID == w.loader:
			select {
			case <-w.quiet: // said before
			default:
				close(w.quiet)
			}
		}
	}
}

// answered is the status of the last document, 0 where there is none.
func (w *watched) answered() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return int(w.status)
}

// started are the animations that have started since it was last asked.
func (w *watched) started() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.moving
	w.moving = nil
	return all
}

// idle waits until the network has been quiet for half a second, or ctx ends.
func (w *watched) idle(ctx context.Context) {
	for {
		w.mu.Lock()
		quiet := w.quiet
		w.mu.Unlock()
		select {
		case <-quiet:
		case <-ctx.Done():
			return
		}
		w.mu.Lock()
		settled := quiet == w.quiet // and no other document has begun
		w.mu.Unlock()
		if settled {
			return
		}
	}
}
