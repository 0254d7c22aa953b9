package visual

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"

	"github.com/chromedp/chromedp"
)

// proxyFlags tells Chromium of the proxies in the environment, as Go's clients read them. Chromium would read some of the
// variables by itself, and others not, and the rest from the desktop.
func proxyFlags(env func(string) string) ([]chromedp.ExecAllocatorOption, error) {
	server, bypass, err := proxies(env)
	switch {
	case err != nil:
		return nil, err
	case server == "":
		return []chromedp.ExecAllocatorOption{chromedp.Flag("no-proxy-server", true)}, nil
	}
	options := []chromedp.ExecAllocatorOption{chromedp.ProxyServer(server)}
	if bypass != "" {
		options = append(options, chromedp.Flag("proxy-bypass-list", bypass))
	}
	return options, nil
}

// proxies writes HTTP_PROXY, HTTPS_PROXY and NO_PROXY in Chromium's own form.
func proxies(env func(string) string) (server, bypass string, err error) {
	read := func(name string) string {
		if v := env(name); v != "" {
			return v
		}
		return env(strings.ToLower(name))
	}
	var servers []string
	for _, scheme := range []string{"http", "https"} {
		variable := strings.ToUpper(scheme) + "_PROXY"
		text := read(variable)
		if text == "" {
			continue
		}
		if !strings.Contains(text, "://") {
			text = "http://" + text
		}
		proxy, err := url.Parse(text)
		switch {
		case err != nil || proxy.Host == "":
			return "", "", errors.New(variable + " is no address of a proxy: write one like http://proxy:3128")
		case proxy.User != nil:
			return "", "", errors.New(variable + " has credentials, which Chromium does not take: name a proxy that needs none")
		}
		servers = append(servers, scheme+"="+proxy.Scheme+"://"+proxy.Host)
	}
	var direct []string
	for _, host := range strings.Split(read("NO_PROXY"), ",") {
		host = strings.TrimSpace(host)
		switch {
		case host == "":
		case host == "*":
			return "", "", nil
		case strings.HasPrefix(host, "."):
			direct = append(direct, "*"+host)
		case isAddress(host):
			direct = append(direct, host)
		default: // a name stands for what is below it, too
			direct = append(direct, host, "*."+host)
		}
	}
	return strings.Join(servers, ";"), strings.Join(direct, ";"), nil
}

func isAddress(host string) bool {
	if _, err := netip.ParsePrefix(host); err == nil {
		return true
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}
