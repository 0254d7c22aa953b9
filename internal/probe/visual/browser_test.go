package visual

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidegate.io/tidegate/internal/probe"
	"tidegate.io/tidegate/internal/probe/visual/pixel"
)

// needBrowser skips a test where there is no browser. In CI, where nobody reads what was skipped, it fails.
func needBrowser(t *testing.T) {
	t.Helper()
	if _, err := FindBrowser(""); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("pages are opened in a real browser, and there is none here: %v", err)
	}
}

// side serves one of the two versions. The paths tell what is the matter with the page.
type side struct {
	preview bool
	other   string // address of the other side
}

const head = `<!doctype html><meta charset=utf-8><link rel=icon href="data:,"><style>
	body { margin: 0; background: #f4f6f8; font: 20px/1.6 sans-serif }
	button { position: absolute; left: 64px; top: 200px; width: 280px; height: 64px; border: 0; background: #12894f; color: #fff; font: inherit }
</style><h1>Overview</h1><p>Four programmes are under way this quarter.</p>`

const button = `<button>Write the report</button>`

func (s side) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// pick is what the two sides differ in.
	pick := func(active, preview string) string {
		if s.preview {
			return preview
		}
		return active
	}
	w.Header().Set("Content-Type", "text/html")
	switch path := r.URL.Path; path {
	case "/moved":
		fmt.Fprint(w, head, pick("", "<style>button{left:84px}</style>"), button)
	case "/recoloured":
		fmt.Fprint(w, head, pick("", "<style>button{background:#bf5f1f}</style>"), button)
	case "/hardly":
		fmt.Fprint(w, head, pick("", "<style>button{background:#138a50}</style>"), button)
	case "/clock":
		fmt.Fprint(w, head, `<div id=clock style="position:absolute;`, pick("left:20px;top:300px", "left:400px;top:320px"), `">`,
			pick("10:00", "11:30:59"), `</div>`, button)
	case "/covered":
		fmt.Fprint(w, head, `<div id=clock style="position:fixed;inset:0">`, pick("10:00", "11:30"), `</div>`)
	case "/unmasked":
		fmt.Fprint(w, head, `<div style="font-size:60px">`, pick("10:00", "11:30"), `</div>`)
	case "/error", "/missing":
		w.WriteHeader(map[string]int{"/error": 500, "/missing": 404}[path])
		fmt.Fprint(w, head, "the same on both")
	case "/preview-error":
		w.WriteHeader(must(strconv.Atoi(pick("200", "503"))))
		fmt.Fprint(w, head)
	case "/empty":
	case "/nothing":
		w.WriteHeader(http.StatusNoContent)
	case "/leads-away":
		if s.preview {
			http.Redirect(w, r, s.other+"/same?session=s3cret", http.StatusFound)
			return
		}
		fmt.Fprint(w, head, button)
	case "/leads-on":
		http.Redirect(w, r, "/same?session=s3cret", http.StatusFound)
	case "/leads-on-later":
		fmt.Fprint(w, head, `<script>onload = () => location.replace('/same')</script>`)
	case "/renames-itself":
		fmt.Fprint(w, head, button, `<script>history.replaceState(null, '', '/same')</script>`)
	case "/throws":
		fmt.Fprint(w, head, `<script>requestAnimationFrame = () => { throw new Error('s3cret') }</script>`)
	case "/leads-back":
		http.Redirect(w, r, "/leads-back/?page=1#top", http.StatusFound)
	case "/leads-astray":
		fmt.Fprint(w, head, `<script>onload = () => location.replace('/error')</script>`)
	case "/animated":
		w.Header().Set("Content-Security-Policy", "style-src 'unsafe-inline'; script-src 'unsafe-inline'")
		fmt.Fprint(w, head, animated)
	case "/styled":
		fmt.Fprint(w, head, `<style>h2 { font-size: 60px; animation: x 7s; caret-color: red }</style><h2>`, pick("rgba(0, 0, 0, 0) 0s", ""), `</h2>`,
			pick("", `<script>const style = getComputedStyle(document.querySelector('h2'));
			document.querySelector('h2').textContent = style.caretColor + ' ' + style.animationDuration</script>`))
	case "/gif":
		w.Header().Set("Content-Type", "image/gif")
		then := color.Color(color.Black)
		if s.preview {
			then = color.White
		}
		_, _ = w.Write(flickering(then))
	case "/strict":
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-none'")
		fmt.Fprint(w, head, button)
	case "/faded-in":
		fmt.Fprint(w, head, `<style>@keyframes in { to { opacity: 1 } } h2 { opacity: 0; font-size: 80px; animation: in 60s 5s forwards }</style><h2>`,
			pick("old", "new"), `</h2>`)
	case "/faded-in-shadow":
		fmt.Fprint(w, head, `<section></section><script>document.querySelector('section').attachShadow({ mode: 'closed' }).innerHTML =
			'<style>@keyframes in { to { opacity: 1 } } h2 { opacity: 0; font-size: 80px; animation: in 60s 5s forwards }</style><h2>`,
			pick("old", "new"), `</h2>'</script>`)
	case "/late":
		fmt.Fprint(w, head, `<h2 style="font-size:80px"></h2><script>onload = async () => {
			document.querySelector('h2').textContent = await (await fetch('/word')).text() }</script>`)
	case "/word":
		select {
		case <-time.After(1500 * time.Millisecond):
		case <-r.Context().Done():
		}
		fmt.Fprint(w, pick("old", "new"))
	case "/restless":
		fmt.Fprint(w, head, `<h2 id=n></h2><script>let n = 0; (function f() { document.querySelector('#n').textContent = n++; requestAnimationFrame(f) })()</script>`)
	case "/long":
		fmt.Fprint(w, head, `<div style="height:`, pick("1000", "1200"), `px"></div>`, button)
	case "/below":
		fmt.Fprint(w, head, `<div style="height:1000px"></div><h2 style="font-size:80px">`, pick("old", "new"), `</h2>`)
	case "/never":
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	default:
		fmt.Fprint(w, head, button)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// animated is a page in which everything moves that can.
const animated = `<style>@keyframes spin { to { transform: rotate(360deg) } } i { display: inline-block; width: 90px; height: 9px; background: red }
	b { animation: spin 1s infinite linear; display: inline-block } u { transition: margin 3s }</style>
	<img src=/gif> <b>spinning</b> <i></i> <u>sliding</u> <section></section> <input autofocus value=caret>
	<script>
	document.querySelector('i').animate([{ transform: 'none' }, { transform: 'translateX(400px)' }], { duration: 700, iterations: Infinity });
	const shadow = document.querySelector('section').attachShadow({ mode: 'closed' });
	shadow.innerHTML = '<style>@keyframes spin { to { transform: rotate(360deg) } } em { animation: spin .7s infinite; display: inline-block }</style><em>within a shadow</em>';
	onload = () => { document.querySelector('u').style.marginLeft = '300px'; document.querySelector('input').focus() };
	</script>`

// flickering is an image that is black for a moment, and then another colour for good.
func flickering(then color.Color) []byte {
	var moving gif.GIF
	for _, c := range []color.Color{color.Black, then} {
		moving.Image = append(moving.Image, image.NewPaletted(image.Rect(0, 0, 200, 100), color.Palette{c}))
	}
	moving.Delay = []int{5, 60000} // hundredths of a second
	var out bytes.Buffer
	if err := gif.EncodeAll(&out, &moving); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// sides serves both versions and returns what compares them.
func sides(t *testing.T, paths ...string) Config {
	t.Helper()
	serve := func(s side) *url.URL {
		server := httptest.NewServer(s)
		t.Cleanup(server.Close)
		return must(url.Parse(server.URL))
	}
	active := serve(side{})
	return Config{
		Active: active, Preview: serve(side{preview: true, other: active.String()}), Paths: paths, Tolerance: 2, MaxDiff: 0.1,
		Width: 640, Height: 400, Inline: true, Timeout: time.Minute, Settle: 20 * time.Second, Parallel: 6,
	}
}

// compare runs a comparison and returns its checks by path.
func compare(t *testing.T, c Config) (probe.Result, map[string]probe.Check) {
	t.Helper()
	r := Run(t.Context(), c)
	checks := map[string]probe.Check{}
	for _, check := range r.Checks {
		checks[check.Name] = check
	}
	if len(checks) != len(c.Paths) {
		t.Fatalf("%+v", r)
	}
	return r, checks
}

// TestIdenticalPagesPass: ten times out of ten, and not a pixel off.
func TestIdenticalPagesPass(t *testing.T) {
	needBrowser(t)
	var paths []string
	for i := range 10 {
		paths = append(paths, fmt.Sprintf("/same/%d", i))
	}
	c := sides(t, paths...)
	c.Tolerance, c.MaxDiff = 0, 0
	r, checks := compare(t, c)
	for path, check := range checks {
		if check.Verdict != probe.Passed || check.Measured["differing"].Value != 0 || check.Measured["compared"].Value != 640*400 {
			t.Errorf("%s: %+v", path, check)
		}
	}
	if r.Verdict != probe.Passed || len(r.Warnings) > 0 {
		t.Errorf("%s, %v", r.Verdict, r.Warnings)
	}
}

func TestPages(t *testing.T) {
	needBrowser(t)
	tests := map[string]string{ // a part of the message; empty: it passes
		"/moved":          "pixels differ",
		"/recoloured":     "they are within 280×64 at (64, 200)",
		"/hardly":         "",
		"/clock":          "",
		"/unmasked":       "pixels differ",
		"/error":          "active answers 500; preview answers 500",
		"/missing":        "active answers 404; preview answers 404",
		"/preview-error":  "preview answers 503",
		"/empty":          "active shows an empty page; preview shows an empty page",
		"/nothing":        "active does not show",
		"/leads-away":     "/same?[redacted], which is another server",
		"/leads-on":       "active leads to /same?[redacted], not to what was asked for: probe that path itself, or give the session it needs; preview leads to /same",
		"/leads-on-later": "preview leads to /same, not to what was asked for",
		"/renames-itself": "active leads to /same, not to what was asked for",
		"/throws":         "active does not show: its own scripts keep its picture from being taken",
		"/leads-back":     "",
		"/leads-astray":   "active answers 500",
		"/animated":       "",
		"/strict":         "",
		"/styled":         "",
		"/faded-in":       "pixels differ",
		"/late":           "pixels differ",
		"/below":          "", // the viewport ends above it

		"/faded-in-shadow": "pixels differ",
	}
	var paths []string
	for path := range tests {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	c := sides(t, paths...)
	c.Masks = []string{"#clock, .absent", ".never"}
	c.Out = t.TempDir()
	r, checks := compare(t, c)
	for path, message := range tests {
		check, want := checks[path], probe.Passed
		if message != "" {
			want = probe.Failed
		}
		if check.Verdict != want || !strings.Contains(check.Message, message) || strings.Contains(check.Message, "s3cret") {
			t.Errorf("%s: %+v", path, check.Message)
		}
	}
	if r.Verdict != probe.Failed {
		t.Errorf("verdict %s", r.Verdict)
	}
	for _, warning := range []string{`mask "#clock, .absent" matches nothing on /moved`, `mask ".never" matches nothing on /clock`} {
		if !slices.Contains(r.Warnings, warning) {
			t.Errorf("no warning %q in %q", warning, r.Warnings)
		}
	}
	if slices.Contains(r.Warnings, `mask "#clock, .absent" matches nothing on /clock`) {
		t.Errorf("warnings %q", r.Warnings)
	}
	evidence(t, checks["/moved"])
	shown := 0
	for _, check := range r.Checks {
		shown += len(check.Evidence["inline"])
	}
	if shown == 0 || shown > maxInline {
		t.Errorf("%d bytes of pictures in the result, want at most %d", shown, maxInline)
	}
}

// evidence looks at what a failed check shows.
func evidence(t *testing.T, check probe.Check) {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(check.Evidence["inline"], "data:image/png;base64,"))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"inline": data, "diff": must(os.ReadFile(check.Evidence["diff"]))} {
		p, err := pixel.Decode(data)
		if err != nil {
			t.Fatal(name, err)
		}
		if !slices.Contains(colours(p.Pix), color.NRGBA{R: 0xe0, A: 0xff}) {
			t.Errorf("%s shows no difference", name)
		}
		if full := p.Rect.Dx() == 640; full != (name == "diff") {
			t.Errorf("%s is %v", name, p.Rect)
		}
	}
	files := must(filepath.Glob(filepath.Join(filepath.Dir(check.Evidence["diff"]), "*")))
	if len(files) != 3 {
		t.Errorf("files %v", files)
	}
	if bytes.Equal(must(os.ReadFile(check.Evidence["active"])), must(os.ReadFile(check.Evidence["preview"]))) {
		t.Error("active and preview are the same file")
	}
}

func colours(pix []uint8) []color.NRGBA {
	var all []color.NRGBA
	for quad := range slices.Chunk(pix, 4) {
		all = append(all, color.NRGBA{R: quad[0], G: quad[1], B: quad[2], A: quad[3]})
	}
	return all
}

func TestFullPage(t *testing.T) {
	needBrowser(t)
	c := sides(t, "/below", "/long", "/same")
	c.FullPage = true
	_, checks := compare(t, c)
	if below := checks["/below"]; below.Verdict != probe.Failed {
		t.Errorf("%+v", below)
	}
	if long := checks["/long"]; long.Verdict != probe.Failed || long.Measured["differing"].Value < 200*640 || !strings.Contains(long.Message, "active is 640×") {
		t.Errorf("%+v", long)
	}
	if same := checks["/same"]; same.Verdict != probe.Passed {
		t.Errorf("%+v", same)
	}
}

// TestNothingToCompare: each has no pair of pages, and none of them passes.
func TestNothingToCompare(t *testing.T) {
	needBrowser(t)
	c := sides(t, "/restless", "/covered")
	c.Settle, c.Masks = 500*time.Millisecond, []string{"#clock"}
	r, checks := compare(t, c)
	if covered := checks["/covered"]; covered.Verdict != probe.Error || !strings.Contains(covered.Message, "the masks leave 0 % of the page") {
		t.Errorf("%+v", covered)
	}
	if !strings.Contains(strings.Join(r.Warnings, "\n"), "/restless of active did not come to rest within 500ms") {
		t.Errorf("%v", r.Warnings)
	}
}

func TestUnreachable(t *testing.T) {
	needBrowser(t)
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	l.Close()
	c := sides(t, "/same")
	c.Preview.Host, c.Retries = l.Addr().String(), 1
	if r, checks := compare(t, c); r.Verdict != probe.Failed || !strings.Contains(checks["/same"].Message, "preview does not show: net::ERR_CONNECTION_REFUSED") {
		t.Errorf("%+v", r)
	}
	c = sides(t, "/never")
	c.Timeout, c.Retries = time.Second, 1
	if r, checks := compare(t, c); r.Verdict != probe.Failed || !strings.Contains(checks["/never"].Message, "active does not show: it did not load within 1s") {
		t.Errorf("%+v", r)
	}
}

// TestNothingMeasured: no browser, and what no browser could do, are errors.
func TestNothingMeasured(t *testing.T) {
	needBrowser(t)
	broken := filepath.Join(t.TempDir(), "chromium")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\necho FATAL: no display >&2\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		change func(*Config)
		want   string
	}{
		"no browser":     {func(c *Config) { c.Browser = "no-such-browser" }, "no-such-browser"},
		"broken browser": {func(c *Config) { c.Browser = broken }, "it said: FATAL: no display"},
		"no selector":    {func(c *Config) { c.Masks = []string{"a[["} }, `mask "a[[" is no CSS selector`},
		"no folder":      {func(c *Config) { c.Out = broken + "/out" }, "folder for the pictures"},
	}
	for name, test := range tests {
		c := sides(t, "/same")
		test.change(&c)
		if r := Run(t.Context(), c); r.Verdict != probe.Error || !strings.Contains(r.Error, test.want) {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// TestTheBrowserGoesWithTheProbe: whether it ends by itself, is stopped, or loses its browser, nothing of it is left.
func TestTheBrowserGoesWithTheProbe(t *testing.T) {
	needBrowser(t)
	if _, err := os.Stat("/proc/self/cmdline"); err != nil {
		t.Skip("what is left of a browser is looked for in /proc, which this system does not have")
	}
	stopped := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	c := sides(t, "/never")
	b, err := startBrowser(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	before := running(t, b.home)
	if len(before) == 0 {
		t.Fatal("no browser process was found: this test would not see one that stays")
	}
	asked := time.AfterFunc(300*time.Millisecond, func() { cancel(stopped) })
	defer asked.Stop()
	if _, _, err := b.both(ctx, c, "/never"); !errors.Is(err, stopped) {
		t.Errorf("error %v, want that it was stopped", err)
	}
	b.close()
	if left := running(t, b.home); len(left) > 0 {
		t.Errorf("of %v there are left %v", before, left)
	}
	if _, err := os.Stat(b.home); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its folder is left: %v", err)
	}
}

// TestABrowserThatDiesIsAnError: what it did not show is nobody's fault but its own.
func TestABrowserThatDiesIsAnError(t *testing.T) {
	needBrowser(t)
	c := sides(t, "/never")
	b, err := startBrowser(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	dies := time.AfterFunc(300*time.Millisecond, func() {
		for _, pid := range running(t, b.home) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	defer dies.Stop()
	if _, _, err := b.both(t.Context(), c, "/never"); err == nil || !strings.Contains(err.Error(), "the browser ended") {
		t.Errorf("error %v", err)
	}
}

// running are the processes of the browser that has this home: it is in their environment.
func running(t *testing.T, home string) []int {
	t.Helper()
	var pids []int
	for _, file := range must(filepath.Glob("/proc/[0-9]*/environ")) {
		environ, err := os.ReadFile(file)
		if err == nil && bytes.Contains(environ, []byte("HOME="+home+"\x00")) {
			pids = append(pids, must(strconv.Atoi(filepath.Base(filepath.Dir(file)))))
		}
	}
	return pids
}
