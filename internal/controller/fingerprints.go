// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/fleet"
	"github.com/skott-dev/skott/internal/flow"
)

// fingerprintSecret holds the key that credentials are fingerprinted with, in the namespace of
// the operator, at fingerprintKey. Every instance on the hub uses the same.
const fingerprintSecret, fingerprintKey = "skott-fingerprints", "key"

// fingerprints are made with one key from the first time that Secrets may be learned from.
type fingerprints struct {
	raw []byte
	key *address.Key
}

// fingerprints returns the key, and makes it if there is none. It is read once: another key
// makes every fingerprint that was learned worthless, so that it takes a new start. What
// stands in the Secret and is no key is left alone, and nothing is learned from Secrets.
func (h *hub) fingerprints(ctx context.Context) *fingerprints {
	if known := h.keys.Load(); known != nil || h.now().Before(h.keyRetry) {
		return known
	}
	raw, err := h.readKey(ctx)
	if err != nil {
		h.keyRetry = h.now().Add(retryInterval)
		h.recorder.Error(false)
		ctrl.LoggerFrom(ctx).Error(err, "Not learning from Secrets")
		return nil
	}
	made := &fingerprints{raw: raw, key: address.NewKey(raw)}
	h.keys.Store(made)
	h.learned.ring()
	return made
}

// readKey reads the key of fingerprints, and makes one if there is none. Two operators that do so at
// once end with the same one.
func (h *hub) readKey(ctx context.Context) ([]byte, error) {
	at := client.ObjectKey{Namespace: h.options.Namespace, Name: fingerprintSecret}
	secret := &corev1.Secret{}
	err := h.reader.Get(ctx, at, secret)
	if apierrors.IsNotFound(err) {
		random := make([]byte, address.KeyLength)
		_, _ = rand.Read(random) // crypto/rand never fails
		secret = &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: at.Namespace, Name: at.Name, Labels: map[string]string{skottv1.LabelManagedBy: skottv1.FieldOwner}},
			Type:       corev1.SecretTypeOpaque, Data: map[string][]byte{fingerprintKey: random},
		}
		if err = h.Create(ctx, secret, client.FieldOwner(skottv1.FieldOwner)); apierrors.IsAlreadyExists(err) { // another instance was first
			err = h.reader.Get(ctx, at, secret)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot get the key of fingerprints, Secret %q: %w", at.Name, err)
	}
	if address.NewKey(secret.Data[fingerprintKey]) == nil {
		return nil, fmt.Errorf("cannot use Secret %q: %q does not hold %d bytes", at.Name, fingerprintKey, address.KeyLength)
	}
	return secret.Data[fingerprintKey], nil
}

// reads reports whether the Secrets of a ManagementCluster may be read.
func reads(mc *skottv1.ManagementCluster) bool {
	return mc.Spec.Learn != nil && mc.Spec.Learn.Secrets != nil && *mc.Spec.Learn.Secrets
}

// holdsCredential reports whether a location has a fingerprint among its addresses.
func holdsCredential(d skottv1.DataLocation) bool {
	return slices.ContainsFunc(d.Spec.Addresses, func(a skottv1.Address) bool { return a.Type == skottv1.AddressType(address.Credential) })
}

// withSecrets is what is learned where Secrets may be read too. Only fingerprints of them
// leave the function that reads an object.
func withSecrets(l fleet.Learning, f *fingerprints, own string) fleet.Learning {
	if f == nil {
		l.Revision += "-keyless"
		l.Gap = "Secret: the key of fingerprints cannot be read or made; the operator's log says why"
		return l
	}
	mac := hmac.New(sha256.New, f.raw)
	_, _ = mac.Write([]byte("revision")) // a hash never fails
	kind := fleet.LearnKind{
		Resource: "secrets", Kind: "Secret", Versions: []string{"v1"}, Revision: hex.EncodeToString(mac.Sum(nil)[:6]),
		Extract: func(object map[string]any) (string, []fleet.Found) {
			return homeOf(object), credentials(object, f.key, own)
		},
	}
	l.Kinds = append(slices.Clone(l.Kinds), kind)
	l.Revision += "-" + kind.Revision
	return l
}

// credentials are the fingerprints of those in a Secret; none of Skott's own.
func credentials(secret map[string]any, key *address.Key, own string) []fleet.Found {
	if textAt(secret, "metadata", "namespace") == own {
		return nil
	}
	var out []fleet.Found
	for _, c := range flow.Credentials(secret) {
		a := key.Fingerprint(c.Value)
		found := fleet.Found{Type: string(a.Type()), Value: a.String(), Path: c.Path}
		if !slices.Contains(out, found) {
			out = append(out, found)
		}
	}
	return out
}
