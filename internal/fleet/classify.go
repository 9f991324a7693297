// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// maxMessage bounds what an API server can write into our conditions.
const maxMessage = 1024

// classify says why an API server could not be used: one of the reasons of the condition
// Reachable, and a message. Neither holds a URL, which might carry credentials.
func classify(err error) (reason, message string) {
	var (
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		verify    *tls.CertificateVerificationError
		timeout   net.Error
	)
	switch {
	case apierrors.IsUnauthorized(err):
		return skottv1.ReasonUnauthorized, "the API server refuses the credentials"
	case apierrors.IsForbidden(err):
		return skottv1.ReasonForbidden, brief(err)
	case errors.As(err, &authority), errors.As(err, &hostname), errors.As(err, &invalid), errors.As(err, &verify):
		return skottv1.ReasonCertificateInvalid, brief(err)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return skottv1.ReasonUnreachable, "the API server does not answer in time"
	default:
		return skottv1.ReasonUnreachable, brief(err)
	}
}

// brief is the text of an error without what an HTTP client wraps around it, and bounded.
func brief(err error) string {
	var request *url.Error
	if errors.As(err, &request) {
		err = request.Err
	}
	if text := err.Error(); len(text) > maxMessage {
		return text[:maxMessage] + "…"
	}
	return err.Error()
}

// answered says whether the API server itself produced the error, so that it is reachable
// with the credentials whatever it said.
func answered(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && !apierrors.IsUnauthorized(err)
}
