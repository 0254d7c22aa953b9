// Package web is what the probes share on their way to a server: addresses without secrets, connections, attempts.
package web

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// hidden stands where something was taken out that may be a secret.
const hidden = "[redacted]"

// ParseBase reads the address of a server, http or https, with or without a path. It has no query: paths are put behind it.
func ParseBase(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%q is no URL: write one like http://checkout.shop:3000", Scrub(text))
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%q: want http:// or https://", Redact(u))
	case u.Hostname() == "":
		return nil, fmt.Errorf("%q names no host: write a URL like http://checkout.shop:3000", Redact(u))
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("%q: leave out what follows the path", Redact(u))
	}
	return u, nil
}

// Join puts a path, which may have a query, behind a base.
func Join(base *url.URL, path string) (*url.URL, error) {
	if !strings.HasPrefix(path, "/") {
		return nil, fmt.Errorf("path %q: want one that begins with /", withoutQuery(path))
	}
	ref, err := url.ParseRequestURI(path)
	if err != nil || strings.Contains(path, "#") {
		return nil, fmt.Errorf("path %q: want one like /healthz", withoutQuery(path))
	}
	joined := base.JoinPath(ref.EscapedPath())
	joined.RawQuery = ref.RawQuery
	return joined, nil
}

// Redact writes a URL without credentials and without the values of its query.
func Redact(u *url.URL) string {
	shown := *u
	if shown.User != nil {
		shown.User = url.User("redacted")
	}
	query := shown.RawQuery != "" || shown.ForceQuery
	shown.RawQuery, shown.ForceQuery, shown.Fragment, shown.RawFragment = "", false, "", ""
	if query {
		return shown.String() + "?" + hidden
	}
	return shown.String()
}

// RedactPath writes a path, or a reference such as a Location header, without a query.
func RedactPath(path string) string { return withoutQuery(Scrub(path)) }

func withoutQuery(path string) string {
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		return path[:i] + "?" + hidden
	}
	return path
}

var (
	userinfo = regexp.MustCompile(`//[^/\s"'?#]*@`)
	query    = regexp.MustCompile(`(\w+://[^\s"'?]*)\?[^\s"']*`)
)

// Scrub takes credentials and queries out of every URL within a text, such as an error of somebody else's making.
func Scrub(text string) string {
	text = userinfo.ReplaceAllString(text, "//"+hidden+"@")
	return query.ReplaceAllString(text, "$1?"+hidden)
}

// answered is what net/http quotes of an answer that it cannot read, and the words before it.
var answered = regexp.MustCompile(
	`((?:malformed|bad|invalid Trailer|invalid empty|too many transfer|unsupported transfer|multiple Content-Length|GOAWAY)\b[^"]*)` +
		`(?:"(?:[^"\\]|\\.)*" ?)+`)

// Reason is why a request failed, without the words of the server: what is wrong with its answer may be anybody's data.
func Reason(err error) string { return answered.ReplaceAllString(Scrub(err.Error()), "$1"+hidden) }

// ScrubError is Scrub for an error. What it was is lost on purpose: unwrapped, it would tell.
func ScrubError(err error) error { return errors.New(Scrub(err.Error())) }
