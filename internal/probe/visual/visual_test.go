package visual

import (
	"errors"
	"image"
	"image/color"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tidegate.io/tidegate/internal/probe"
)

// drawn20 is a shot of 20 by 10 pixels, black with a white box.
func drawn20(white image.Rectangle) shot {
	p := image.NewNRGBA(image.Rect(0, 0, 20, 10))
	for i := range p.Pix {
		p.Pix[i] = 0xff
	}
	for y := range 10 {
		for x := range 20 {
			if !image.Pt(x, y).In(white) {
				p.SetNRGBA(x, y, color.NRGBA{A: 0xff})
			}
		}
	}
	return shot{picture: p, status: 200, url: "http://shop:80/cart"}
}

// TestJudge is the verdict on two shots, without a browser.
func TestJudge(t *testing.T) {
	box, moved := image.Rect(2, 2, 6, 6), image.Rect(3, 2, 7, 6)
	change := func(s shot, f func(*shot)) shot { f(&s); return s }
	bad := func(f func(*shot)) shot { return change(drawn20(box), f) }
	tests := map[string]struct {
		active, preview shot
		maxDiff         float64
		want            probe.Verdict
		message         string
	}{
		"the same":               {active: drawn20(box), preview: drawn20(box), want: probe.Passed},
		"8 of 200 are too many":  {active: drawn20(box), preview: drawn20(moved), maxDiff: 3.9, want: probe.Failed, message: "8 of 200 pixels differ, 4 %, want at most 3.9 %; they are within 5×4 at (2, 2)"},
		"equal to the limit":     {active: drawn20(box), preview: drawn20(moved), maxDiff: 4, want: probe.Passed},
		"one pixel, none is let": {active: drawn20(image.Rect(0, 0, 1, 1)), preview: drawn20(image.Rect(0, 0, 1, 2)), want: probe.Failed, message: "1 of 200"},
		"masked on active": {active: change(drawn20(box), func(s *shot) { s.masks = []image.Rectangle{image.Rect(0, 0, 8, 10)} }),
			preview: drawn20(moved), want: probe.Passed},
		"masked on preview": {active: drawn20(box), want: probe.Passed,
			preview: change(drawn20(moved), func(s *shot) { s.masks = []image.Rectangle{image.Rect(0, 0, 8, 10)} })},
		"masked elsewhere": {active: change(drawn20(box), func(s *shot) { s.masks = []image.Rectangle{image.Rect(10, 0, 18, 10)} }),
			preview: drawn20(moved), want: probe.Failed, message: "8 of 120"},
		"all masked": {active: change(drawn20(box), func(s *shot) { s.masks = []image.Rectangle{image.Rect(-9, -9, 99, 99)} }),
			preview: drawn20(moved), want: probe.Error, message: "the masks leave 0 % of the page to compare, 0 of 200 pixels, want at least 25 %: mask less"},
		"nearly all masked": {active: change(drawn20(box), func(s *shot) { s.masks = []image.Rectangle{image.Rect(0, 0, 10, 10)} }),
			preview: change(drawn20(box), func(s *shot) { s.masks = []image.Rectangle{image.Rect(5, 0, 16, 10)} }),
			want:    probe.Error, message: "the masks leave 20 % of the page to compare, 40 of 200 pixels"},
		"a quarter is left": {active: change(drawn20(box), func(s *shot) { s.masks = []image.Rectangle{image.Rect(0, 0, 15, 10)} }),
			preview: drawn20(moved), want: probe.Passed},
		"both answer 404":    {active: bad(func(s *shot) { s.status = 404 }), preview: bad(func(s *shot) { s.status = 404 }), want: probe.Failed, message: "active answers 404; preview answers 404"},
		"active answers 400": {active: bad(func(s *shot) { s.status = 400 }), preview: drawn20(box), want: probe.Failed, message: "active answers 400"},
		"preview is empty":   {active: drawn20(box), preview: drawn20(image.Rectangle{}), maxDiff: 100, want: probe.Failed, message: "preview shows an empty page"},
		"both are empty":     {active: drawn20(image.Rectangle{}), preview: drawn20(image.Rectangle{}), want: probe.Failed, message: "empty page"},
		"no answer":          {active: bad(func(s *shot) { s.status = 0 }), preview: drawn20(box), want: probe.Failed, message: "active does not answer"},
		"does not load":      {active: drawn20(box), preview: shot{wrong: "net::ERR_X"}, want: probe.Failed, message: "preview does not show: net::ERR_X"},
		"leads to another":   {active: drawn20(box), preview: bad(func(s *shot) { s.url = "http://shop:80/" }), want: probe.Failed, message: "preview leads to http://shop:80/, which is another server"},
		"leads elsewhere here": {active: bad(func(s *shot) { s.url = "http://SHOP/login?next=s3cret#s3cret" }), preview: drawn20(box), want: probe.Failed,
			message: "active leads to /login?[redacted], not to what was asked for: probe that path itself, or give the session it needs"},
		"both lead elsewhere": {active: bad(func(s *shot) { s.url = "http://shop/login" }), preview: bad(func(s *shot) { s.url = "http://preview:81/login" }),
			want: probe.Failed, message: "; preview leads to /login, not to what was asked for"},
		"leads to the front page": {active: bad(func(s *shot) { s.url = "http://shop" }), preview: drawn20(box), want: probe.Failed, message: "active leads to /, not"},
		"leads below":             {active: bad(func(s *shot) { s.url = "http://shop/cart/2" }), preview: drawn20(box), want: probe.Failed, message: "active leads to /cart/2, not"},
		"leads to itself":         {active: bad(func(s *shot) { s.url = "http://SHOP/cart/?page=s3cret#s3cret" }), preview: drawn20(box), want: probe.Passed},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.preview.url == "http://shop:80/cart" {
				test.preview.url = "http://preview:81/cart"
			}
			c := Config{Active: parse(t, "http://shop"), Preview: parse(t, "http://preview:81"), MaxDiff: test.maxDiff}
			_, check := c.judge("/cart?s3cret", test.active, test.preview)
			if check.Verdict != test.want || !strings.Contains(check.Message, test.message) || (test.message == "") != (check.Message == "") {
				t.Errorf("%+v", check)
			}
			if told := check.Name + check.Message; strings.Contains(told, "s3cret") {
				t.Errorf("tells a secret: %s", told)
			}
		})
	}
}

func TestSamePath(t *testing.T) {
	for _, test := range []struct {
		base, path, address string
		want                bool
	}{
		{"http://shop", "/", "http://shop", true},
		{"http://shop", "/", "http://shop/login", false},
		{"http://shop", "/a?x=1", "http://shop/a?x=2#y", true},
		{"http://shop", "/a/", "http://shop/a", true},
		{"http://shop", "/a", "http://shop/A", false},
		{"http://shop", "/ü/../b", "http://shop/b", true},
		{"http://shop", "/ü", "http://shop/%C3%BC", true},
		{"http://shop/app", "/a", "http://shop/app/a/", true},
		{"http://shop/app/", "/a", "http://shop/a", false},
		{"http://shop", "/a", "http://shop//a", false},
		{"http://shop", "/a", "http://shop/%zz", false},
	} {
		if got := samePath(parse(t, test.base), test.path, test.address); got != test.want {
			t.Errorf("%s behind %s and %s: %t", test.path, test.base, test.address, got)
		}
	}
}

func parse(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestProxies(t *testing.T) {
	tests := map[string]struct {
		env                      map[string]string
		server, bypass, mistaken string
	}{
		"none": {},
		"both": {env: map[string]string{"HTTP_PROXY": "http://p:1/", "https_proxy": "q:2"}, server: "http=http://p:1;https=http://q:2"},
		"one":  {env: map[string]string{"http_proxy": "http://p:1"}, server: "http=http://p:1"},
		"not for some": {env: map[string]string{"HTTP_PROXY": "http://p:1", "NO_PROXY": " a.org, .b.org,10.0.0.0/8,::1,,c:81"},
			server: "http=http://p:1", bypass: "a.org;*.a.org;*.b.org;10.0.0.0/8;::1;c:81;*.c:81"},
		"for none":    {env: map[string]string{"HTTP_PROXY": "http://p:1", "no_proxy": "*"}},
		"credentials": {env: map[string]string{"HTTP_PROXY": "http://me:s3cret@p:1"}, mistaken: "HTTP_PROXY has credentials"},
		"no address":  {env: map[string]string{"HTTPS_PROXY": "http://me:s3cret@p:x"}, mistaken: "HTTPS_PROXY is no address"},
	}
	for name, test := range tests {
		server, bypass, err := proxies(func(name string) string { return test.env[name] })
		if test.mistaken != "" {
			if err == nil || !strings.Contains(err.Error(), test.mistaken) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%s: error %v", name, err)
			}
			continue
		}
		if server != test.server || bypass != test.bypass || err != nil {
			t.Errorf("%s: %q, %q, %v", name, server, bypass, err)
		}
	}
}

func TestUnsandboxed(t *testing.T) {
	env := func(set string) func(string) (string, bool) {
		return func(name string) (string, bool) { return "", name == set }
	}
	file := func(there string) func(string) bool { return func(path string) bool { return path == there } }
	for name, test := range map[string]struct {
		uid       int
		env, file string
		want      bool
	}{
		"a user": {uid: 1000}, "root": {want: true}, "a pod": {uid: 1000, env: "KUBERNETES_SERVICE_HOST", want: true},
		"Docker": {uid: 1000, file: "/.dockerenv", want: true}, "Podman": {uid: 1000, file: "/run/.containerenv", want: true},
	} {
		if got := unsandboxed(test.uid, env(test.env), file(test.file)); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestFindBrowser(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if _, err := FindBrowser(""); err == nil || !strings.Contains(err.Error(), "apt-get install chromium") {
		t.Errorf("error %v", err)
	}
	for _, name := range slices.Backward(browsers) {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o755); err != nil {
			t.Fatal(err)
		}
		if got, err := FindBrowser(""); got != path || err != nil {
			t.Errorf("found %s, %v; want %s", got, err, path)
		}
	}
}

func TestSlug(t *testing.T) {
	seen := map[string]string{}
	for _, path := range []string{"/", "/index", "/a", "/A/", "/a/b", "/a-b", "/a//b", "/a/b/", "/a?token=s3cret", "/a?token=other", "/ü", "/..", "/../.."} {
		s := slug(path)
		if before, ok := seen[s]; ok {
			t.Errorf("%s and %s share %s", before, path, s)
		}
		if seen[s] = path; s == "" || strings.ContainsAny(s, "/.?") || strings.Contains(s, "s3cret") {
			t.Errorf("%s becomes %q", path, s)
		}
	}
	if slug("/") != "index" || slug("/reports/all") != "reports-all" {
		t.Errorf("%s, %s", slug("/"), slug("/reports/all"))
	}
}

// TestKeep: a picture is there whole or not at all, and what an earlier probe left is not taken for this one's.
func TestKeep(t *testing.T) {
	c := Config{Out: t.TempDir(), Paths: []string{"/"}}
	p := pair{path: "/", active: drawn20(image.Rect(1, 1, 2, 2)), preview: drawn20(image.Rect(1, 1, 3, 3))}
	kept, err := c.evidence(p, true)
	if err != nil || len(kept) != 3 || kept["diff"] != filepath.Join(c.Out, "index", "diff.png") {
		t.Fatal(kept, err)
	}
	p.preview = shot{wrong: "gone"}
	if kept, err = c.evidence(p, true); err != nil || len(kept) != 1 {
		t.Fatal(kept, err)
	}
	files, err := filepath.Glob(filepath.Join(c.Out, "index", "*"))
	if err != nil || len(files) != 1 || filepath.Base(files[0]) != "active.png" {
		t.Errorf("%v, %v", files, err)
	}
	full := filepath.Join(c.Out, "full")
	if err := write(filepath.Join(full, "active.png"), []byte("x")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}
