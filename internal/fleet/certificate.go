// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Keys of the Secret with the serving certificate, beside those of its type. The authority
// of every certificate signs that one only, and its key is forgotten at once: whoever reads
// the Secret can be the webhook, and can make nobody else one.
const (
	keyAuthorities   = "ca.crt" // of the present certificate, and of those before it
	keyNext          = "next.crt"
	keyNextKey       = "next.key"
	keyNextAuthority = "next-ca.crt"
)

// clockSkew is how far a clock may be behind the operator's.
const clockSkew = time.Hour

// maxOverlap is how long every API server has, at most, to take up the authority of the next
// certificate before that is served.
const maxOverlap = 10 * time.Minute

func overlap(life time.Duration) time.Duration { return min(maxOverlap, life/12) }

// issued is a certificate with its key and its authority, in PEM.
type issued struct{ certificate, key, authority []byte }

// renewed computes what the Secret must hold from what it holds. A certificate of whose life
// a third is left gets a successor, which is trusted first and served when bundle, what the
// API server was last told to trust, has held its authority for long enough.
func renewed(data map[string][]byte, names []string, life time.Duration, bundle []byte, now time.Time) (map[string][]byte, error) {
	present := issued{data[corev1.TLSCertKey], data[corev1.TLSPrivateKeyKey], data[keyAuthorities]}
	leaf := present.usable(names, now)
	if leaf == nil {
		fresh, err := issue(names, life, now)
		if err != nil {
			return nil, err
		}
		return fresh.data(data[keyAuthorities], now), nil
	}
	if leaf.NotAfter.Sub(now) > life/3 {
		return map[string][]byte{
			corev1.TLSCertKey: present.certificate, corev1.TLSPrivateKeyKey: present.key, keyAuthorities: present.authority,
		}, nil
	}
	next := issued{data[keyNext], data[keyNextKey], data[keyNextAuthority]}
	staged := next.usable(names, now)
	switch {
	case staged == nil:
		var err error
		if next, err = issue(names, life, now); err != nil {
			return nil, err
		}
	case now.Sub(staged.NotBefore.Add(clockSkew)) >= overlap(life) && bytes.Contains(bundle, bytes.TrimSpace(next.authority)):
		return next.data(data[keyAuthorities], now), nil
	}
	return map[string][]byte{
		corev1.TLSCertKey: present.certificate, corev1.TLSPrivateKeyKey: present.key, keyAuthorities: present.authority,
		keyNext: next.certificate, keyNextKey: next.key, keyNextAuthority: next.authority,
	}, nil
}

// data of a Secret that serves this certificate. The authorities before stay trusted for as
// long as they live: a process may not have taken the new certificate up yet.
func (p issued) data(before []byte, now time.Time) map[string][]byte {
	return map[string][]byte{
		corev1.TLSCertKey: p.certificate, corev1.TLSPrivateKeyKey: p.key, keyAuthorities: append(bytes.Clone(p.authority), living(before, now)...),
	}
}

// bundleOf is what an API server must trust: what is served, and what will be.
func bundleOf(data map[string][]byte) []byte {
	return append(bytes.Clone(data[keyAuthorities]), data[keyNextAuthority]...)
}

// maxAuthorities bounds what is trusted.
const maxAuthorities = 4

// living are the certificates of a bundle that have not ended, the newest ones.
func living(bundle []byte, now time.Time) []byte {
	var out []byte
	n := 0
	for rest := bundle; n < maxAuthorities; n++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil && now.Before(c.NotAfter) {
			out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes})...)
		}
	}
	return out
}

// usable is the certificate if it can be served: it fits its key, its authority and the
// names, and has not ended.
func (p issued) usable(names []string, now time.Time) *x509.Certificate {
	pair, err := tls.X509KeyPair(p.certificate, p.key)
	if err != nil {
		return nil
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(p.authority)
	for _, name := range names {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: now}); err != nil {
			return nil
		}
	}
	return pair.Leaf
}

// issue makes a certificate for names, which may be IP addresses, by an authority of its own.
func issue(names []string, life time.Duration, now time.Time) (issued, error) {
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return issued{}, fmt.Errorf("cannot make a key: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return issued{}, fmt.Errorf("cannot make a key: %w", err)
	}
	template := func(name string) *x509.Certificate {
		serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // crypto/rand never fails
		return &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-clockSkew), NotAfter: now.Add(life)}
	}
	root, leaf := template("skott-guard-ca"), template("skott-guard")
	root.IsCA, root.BasicConstraintsValid, root.MaxPathLenZero, root.KeyUsage = true, true, true, x509.KeyUsageCertSign
	leaf.KeyUsage, leaf.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	// Told apart by serial: a pool finds an authority by its name first, then tries them all.
	root.SubjectKeyId = root.SerialNumber.Bytes()
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, name)
		}
	}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, authorityKey.Public(), authorityKey)
	if err != nil {
		return issued{}, fmt.Errorf("cannot make an authority: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, root, key.Public(), authorityKey)
	if err != nil {
		return issued{}, fmt.Errorf("cannot make a certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return issued{}, fmt.Errorf("cannot encode a key: %w", err)
	}
	encode := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	return issued{encode("CERTIFICATE", der), encode("PRIVATE KEY", keyDER), encode("CERTIFICATE", rootDER)}, nil
}
