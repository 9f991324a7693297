// SPDX-License-Identifier: Apache-2.0

package module

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRead(t *testing.T) {
	wanted := []Module{{Path: "example.com/a", Version: "v1.0.0", Sum: "h1:a"}, {Path: "example.com/b", Version: "v2.0.0", Sum: "h1:b"}}
	const a = `{"Path": "example.com/a", "Version": "v1.0.0", "Dir": "/a", "Sum": "h1:a"}`
	tests := map[string]struct {
		output string
		want   []string
		errors []string
	}{
		"both":          {a + `{"Path": "example.com/b", "Version": "v2.0.0", "Dir": "/b", "Sum": "h1:b"}`, []string{"/a", "/b"}, nil},
		"missing":       {a + `{"Path": "example.com/b", "Version": "v2.0.0", "Error": "not found"}`, nil, []string{"example.com/b@v2.0.0: not found"}},
		"changed":       {a + `{"Path": "example.com/b", "Version": "v2.0.0", "Dir": "/b", "Sum": "h1:x"}`, nil, []string{"its hash is h1:x, not h1:b"}},
		"every problem": {strings.ReplaceAll(a, "h1:a", "h1:x") + `{"Path": "example.com/b", "Error": "gone"}`, nil, []string{"example.com/a@v1.0.0: its hash", "example.com/b@v2.0.0: gone"}},
		"another":       {a + a, nil, []string{"cannot download example.com/b@v2.0.0: got example.com/a@v1.0.0"}},
		"one too many":  {a + `{"Path": "example.com/b", "Version": "v2.0.0", "Sum": "h1:b"}` + a, nil, []string{"nobody asked for example.com/a@v1.0.0"}},
		"no JSON":       {`go: no`, nil, []string{"cannot download modules"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dirs, err := read([]byte(test.output), wanted)
			if len(test.errors) == 0 {
				if diff := cmp.Diff(test.want, dirs); diff != "" || err != nil {
					t.Errorf("%v\n%s", err, diff)
				}
				return
			}
			for _, text := range test.errors {
				if err == nil || !strings.Contains(err.Error(), text) {
					t.Errorf("error %v does not hold %q", err, text)
				}
			}
		})
	}
}
