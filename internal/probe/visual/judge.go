package visual

import (
	"fmt"
	"image"
	"net/url"
	"slices"
	"strings"

	"tidegate.io/tidegate/internal/probe"
	"tidegate.io/tidegate/internal/probe/visual/pixel"
	"tidegate.io/tidegate/internal/probe/web"
)

// leastLeft is how much of a page the masks have to leave, in percent: of one that is hidden nearly all, nobody can say that
// it has not changed.
const leastLeft = 25

// pair is a page as both services show it.
type pair struct {
	path            string
	active, preview shot
	masks           []image.Rectangle // of both
	difference      pixel.Difference
}

// judge compares the two. Pages that are not there are not alike: two equal error pages fail, as do two empty ones.
func (c Config) judge(path string, active, preview shot) (pair, probe.Check) {
	p := pair{path: path, active: active, preview: preview}
	check := probe.Check{Name: web.RedactPath(path), Verdict: probe.Failed, Measured: map[string]probe.Measure{}}
	var wrong []string
	for _, each := range []struct {
		side string
		base *url.URL
		shot shot
	}{{"active", c.Active, active}, {"preview", c.Preview, preview}} {
		if each.shot.status != 0 {
			check.Measured[each.side+"Status"] = probe.Measure{Value: float64(each.shot.status), Unit: "status"}
		}
		if why := each.shot.missing(each.base, path); why != "" {
			wrong = append(wrong, each.side+" "+why)
		}
	}
	if len(wrong) > 0 {
		check.Message = strings.Join(wrong, "; ")
		return p, check
	}
	p.masks = slices.Concat(active.masks, preview.masks) // so that a mask that moved is one on both
	p.difference = pixel.Compare(active.picture, preview.picture, p.masks, c.Tolerance)
	d := p.difference
	check.Measured["difference"] = probe.Measure{Value: d.Percent(), Unit: "percent", Max: probe.Bound(c.MaxDiff)}
	check.Measured["differing"] = probe.Measure{Value: float64(d.Differing), Unit: "pixels"}
	check.Measured["compared"] = probe.Measure{Value: float64(d.Compared), Unit: "pixels"}
	switch {
	case d.Left() < leastLeft:
		check.Verdict = probe.Error
		check.Message = fmt.Sprintf("the masks leave %.3g %% of the page to compare, %d of %d pixels, want at least %d %%: mask less",
			d.Left(), d.Compared, d.Compared+d.Masked, leastLeft)
	case d.Percent() > c.MaxDiff:
		check.Message = fmt.Sprintf("%d of %d pixels differ, %.3g %%, want at most %g %%; they are within %d×%d at (%d, %d)%s", d.Differing,
			d.Compared, d.Percent(), c.MaxDiff, d.Box.Dx(), d.Box.Dy(), d.Box.Min.X, d.Box.Min.Y, p.sizes())
	default:
		check.Verdict = probe.Passed
	}
	return p, check
}

// sizes tells of pictures that differ in size.
func (p pair) sizes() string {
	a, b := p.active.picture.Rect.Size(), p.preview.picture.Rect.Size()
	if a == b {
		return ""
	}
	return fmt.Sprintf("; active is %d×%d, preview %d×%d", a.X, a.Y, b.X, b.Y)
}

// missing says why a shot is not one of the page that was asked for, the path behind the base.
func (s shot) missing(base *url.URL, path string) string {
	switch {
	case s.wrong != "":
		return "does not show: " + s.wrong
	case s.status == 0:
		return "does not answer with a page"
	case s.status >= 400:
		return fmt.Sprintf("answers %d", s.status)
	case !sameOrigin(base, s.url):
		return fmt.Sprintf("leads to %s, which is another server: compare that one", shown(s.url))
	case !samePath(base, path, s.url):
		return fmt.Sprintf("leads to %s, not to what was asked for: probe that path itself, or give the session it needs", shownPath(s.url))
	case pixel.Blank(s.picture):
		return "shows an empty page"
	}
	return ""
}

func shown(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "no URL"
	}
	return web.Redact(u)
}

// shownPath is shown for an address of the server that was asked.
func shownPath(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "no URL"
	}
	return web.RedactPath(u.RequestURI())
}

// sameOrigin tells whether an address is one of the server's.
func sameOrigin(base *url.URL, address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == base.Scheme && strings.EqualFold(u.Hostname(), base.Hostname()) && port(u) == port(base)
}

// samePath tells whether an address is the path behind the base. Queries and fragments may come and go, as may a slash at the
// end: a page that puts its state there is still the page.
func samePath(base *url.URL, path, address string) bool {
	asked, err := web.Join(base, path)
	if err != nil {
		return false
	}
	u, err := url.Parse(address)
	return err == nil && bare(u.Path) == bare(asked.Path)
}

// bare is a path without a slash at either end: an address that names no path has none to begin with.
func bare(path string) string { return strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/") }

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// warnings tells what the verdict on a pair leaves out.
func (c Config) warnings(p pair) []string {
	var all []string
	path := web.RedactPath(p.path)
	for _, each := range []struct {
		side string
		shot shot
	}{{"active", p.active}, {"preview", p.preview}} {
		if each.shot.restless {
			all = append(all, fmt.Sprintf("%s of %s did not come to rest within %s: mask what moves", path, each.side, c.Settle))
		}
		if each.shot.cut {
			all = append(all, fmt.Sprintf("%s of %s is larger than %d pixels: the rest was not compared", path, each.side, maxSide))
		}
	}
	for i, mask := range c.Masks {
		if i < len(p.active.matched) && i < len(p.preview.matched) && !p.active.matched[i] && !p.preview.matched[i] {
			all = append(all, fmt.Sprintf("mask %q matches nothing on %s", mask, path))
		}
	}
	return all
}
