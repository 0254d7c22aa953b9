package node

import (
	_ "embed"
	"io"
	"net/http"
	"strings"
	"text/template"

	"tidegate.io/tidegate/internal/lab/image"
)

// pageSource is a page that looks the same whichever version serves it, unless the version was told otherwise: it loads
// nothing, nothing in it moves, and it does not say who it is from.
//
//go:embed page.html
var pageSource string

// pages are the page in each of its looks.
var pages = func() map[string]string {
	source := template.Must(template.New("page").Parse(pageSource))
	looks := make(map[string]string)
	for _, look := range append(image.Pages(), "") {
		var out strings.Builder
		if err := source.Execute(&out, look); err != nil {
			panic(err) // the template is compiled in, and every test makes it
		}
		looks[look] = out.String()
	}
	return looks
}()

// wantsPage reports whether a request is a browser's.
func wantsPage(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(strings.Join(r.Header.Values("Accept"), ","), "text/html")
}

func (a *app) page(w http.ResponseWriter, look string) int {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(http.StatusOK)
	// The only error is a client that has gone.
	_, _ = io.WriteString(w, pages[look])
	return http.StatusOK
}
