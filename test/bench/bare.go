// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// bareCommand runs the least that a webhook can be, in a process of its own.
const bareCommand = "bare-webhook"

// bare answers reviews. Without a list it allows everything, unread.
type bare struct{ names map[string]bool }

func runBare(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet(bareCommand, flag.ContinueOnError)
	address := flags.String("address", "", "address to listen on")
	certificate := flags.String("certificate", "", "file of the serving certificate")
	key := flags.String("key", "", "file of its key")
	list := flags.String("list", "", "file of addresses, one a line; without it nothing is refused")
	if err := flags.Parse(args); err != nil {
		return err
	}
	b := &bare{}
	if *list != "" {
		content, err := os.ReadFile(*list)
		if err != nil {
			return err
		}
		b.names = names(strings.Split(string(content), "\n"))
	}
	server := &http.Server{Addr: *address, Handler: b, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.ListenAndServeTLS(*certificate, *key); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// names are what a token of a text is compared with: the host of an address, or the last
// segment of its path. Networks have none.
func names(addresses []string) map[string]bool {
	out := make(map[string]bool, len(addresses))
	for _, a := range addresses {
		name := strings.ToLower(a[strings.LastIndexByte(a, '/')+1:])
		if strings.ContainsAny(name, "abcdefghijklmnopqrstuvwxyz") {
			out[name] = true
		}
	}
	return out
}

// ServeHTTP implements http.Handler.
func (b *bare) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var review struct {
		Request struct {
			UID    types.UID
			Object json.RawMessage
		}
	}
	if err := json.Unmarshal(body, &review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer := admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Response: &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true},
	}
	if b.names != nil {
		if name := b.found(review.Request.Object); name != "" {
			answer.Response.Allowed = false
			answer.Response.Result = &metav1.Status{Message: "names " + name, Code: http.StatusForbidden}
		}
	}
	encoded, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(encoded) // the API server has gone; it counts that as a failure itself
}

// found looks every token up, and the domains above it. It does what a fast and simple
// webhook would do, so it uses no regular expression.
func (b *bare) found(text []byte) string {
	for at := 0; at < len(text); at++ {
		start := at
		for at < len(text) && inName[text[at]] {
			at++
		}
		for rest := bytes.ToLower(text[start:at]); len(rest) > 0; {
			if b.names[string(rest)] {
				return string(rest)
			}
			dot := bytes.IndexByte(rest, '.')
			if dot < 0 {
				break
			}
			rest = rest[dot+1:]
		}
	}
	return ""
}

// inName are the bytes of hosts, and of names of buckets.
var inName = func() (table [256]bool) {
	for _, c := range "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-" {
		table[c] = true
	}
	return table
}()
