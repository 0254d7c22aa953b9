package promapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestScalar(t *testing.T) {
	series := func(values ...string) string {
		var all []string
		for _, v := range values {
			all = append(all, fmt.Sprintf(`{"metric":{},"value":[1,%q]}`, v))
		}
		return `{"status":"success","data":{"resultType":"vector","result":[` + strings.Join(all, ",") + `]}}`
	}
	tests := map[string]struct {
		body    string
		want    float64
		err     error
		message string
	}{
		"one series":  {body: series("12"), want: 12},
		"none":        {body: series(), err: ErrNoData},
		"NaN":         {body: series("NaN"), err: ErrNoData},
		"two":         {body: series("1", "2"), message: "2 series"},
		"refused":     {body: `{"status":"error","error":"bad query"}`, message: "bad query"},
		"no JSON":     {body: `<html>`, message: "not JSON"},
		"no number":   {body: series("twelve"), message: "twelve"},
		"half answer": {body: series("12")[:20], message: "not JSON"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if got := r.URL.Query().Get("query"); got != "up == 1" {
					t.Errorf("query %q", got)
				}
				fmt.Fprint(w, test.body)
			}))
			defer srv.Close()
			got, err := At(srv.URL+"/").Scalar(context.Background(), "up == 1")
			switch {
			case test.message != "":
				if err == nil || !strings.Contains(err.Error(), test.message) {
					t.Errorf("error %v, want %q in it", err, test.message)
				}
			case !errors.Is(err, test.err) || got != test.want:
				t.Errorf("got %v, %v; want %v, %v", got, err, test.want, test.err)
			}
		})
	}
}
