// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/flow"
)

// Documentation is where every code has a section of its own.
const Documentation = "https://github.com/skott-dev/skott/blob/main/docs/denials.md"

// A message of a policy is at most 5 KiB: an API server drops a longer one. Three violations
// fit, with every name and value in four-byte characters.
const (
	// maxListed is how many violations one message lists before it counts the rest.
	maxListed = 3
	// maxValue is how many characters it shows of an address. Names in paths have their own
	// bound.
	maxValue = 128
)

// Code is a stable identifier of a reason to refuse: SKOTT-D and three digits. The first
// says how data would cross (1 pulled, 2 pushed, 3 carried, 4 misplaced, 5 the guard
// itself), the others what it would cross through.
type Code string

// Codes that are not of an address.
const (
	// CodeMisplaced: a Cluster says it is of an Environment that its Management Cluster
	// does not serve.
	CodeMisplaced Code = "SKOTT-D401"
	// CodeCustomerCluster: a Cluster in a customer namespace under a non-production
	// Management Cluster.
	CodeCustomerCluster Code = "SKOTT-D402"
	// CodeNamespaceClaim: a Namespace claims an Environment above its cluster, or none that exists.
	CodeNamespaceClaim Code = "SKOTT-D403"
	// CodeGuard: a change of the Guard by somebody else.
	CodeGuard Code = "SKOTT-D501"
	// CodeGuardCRD: a change of the Guard's CRD by somebody else.
	CodeGuardCRD Code = "SKOTT-D502"
	// CodeClusterLabel: a change of Skott's labels on a Cluster by somebody else.
	CodeClusterLabel Code = "SKOTT-D503"
	// CodeNamespaceLabel: a change of Skott's labels on a Namespace that exists.
	CodeNamespaceLabel Code = "SKOTT-D504"
	// CodeCanary: a request of the live proof's user that is no dry run.
	CodeCanary Code = "SKOTT-D505"
)

// numbers and nouns of address types, in codes and in messages.
var numbers = map[address.Type]string{
	address.Host: "01", address.Bucket: "02", address.CIDR: "03", address.Volume: "04", address.Snapshot: "05",
	address.ClusterEndpoint: "06", address.Registry: "07", address.Git: "08", address.SecretPath: "09",
	address.Project: "10", address.Credential: "11", flow.Namespace: "12",
}

var nouns = map[address.Type]string{
	address.Host: "host", address.Bucket: "bucket", address.CIDR: "network address", address.Volume: "volume",
	address.Snapshot: "snapshot", address.ClusterEndpoint: "cluster", address.Registry: "image",
	address.Git: "repository", address.SecretPath: "secret store", address.Project: "project",
	address.Credential: "credential", flow.Namespace: "namespace",
}

var verbs = map[flow.Direction]string{flow.From: "reads from", flow.To: "writes to", flow.Names: "names"}

// Codes lists every code that a denial can carry, in order, for the documentation.
func Codes() []Code {
	var out []Code
	for _, way := range []string{"1", "2", "3"} {
		for n := 1; n <= len(numbers); n++ {
			out = append(out, addressCode(way, fmt.Sprintf("%02d", n)))
		}
	}
	return append(out, CodeMisplaced, CodeCustomerCluster, CodeNamespaceClaim, CodeGuard, CodeGuardCRD, CodeClusterLabel, CodeNamespaceLabel, CodeCanary)
}

func addressCode(way, number string) Code { return Code("SKOTT-D" + way + number) }

// phrase is what stands between the path and the value: "names bucket".
func phrase(f *flow.Field) string { return verbs[f.Direction] + " " + nouns[f.Type] }

// Violation is one reference that crosses a boundary.
type Violation struct {
	// Code of the reason.
	Code Code
	// Path of the field.
	Path string
	// Address as far as its author wrote it; "" of a credential.
	Address string
	// Owner of the address: a place.
	Owner string
	// Boundary that forbids it.
	Boundary string

	phrase string
}

// fragment is one violation in words.
func (v Violation) fragment() string {
	if v.Address == "" { // a credential: no more than that there is one
		return v.Path + " " + v.phrase + ` that belongs to Environment "` + v.Owner + `" (` + string(v.Code) + ")"
	}
	return v.Path + " " + v.phrase + ` "` + flow.Cut(v.Address, maxValue) + `", which belongs to Environment "` + v.Owner + `" (` + string(v.Code) + ")"
}

// anchor is the section of the documentation for a code.
func anchor(code Code) string { return Documentation + "#" + strings.ToLower(string(code)) }

// crossingMessage says all of a decision in one line: boundary, fields, values, both
// environments, what to do instead.
func crossingMessage(violations []Violation, here place) string {
	listed := violations
	if len(listed) > maxListed {
		listed = listed[:maxListed-1]
	}
	fragments := make([]string, len(listed))
	for i, v := range listed {
		fragments[i] = v.fragment()
	}
	more := ""
	if n := len(violations) - len(listed); n > 0 {
		more = "; and " + strconv.Itoa(n) + " more"
	}
	return `crosses DataBoundary "` + violations[0].Boundary + `": ` + strings.Join(fragments, "; ") + more + "; " +
		here.subject + ` belongs to Environment "` + here.environment + `". Use one of Environment "` + here.environment +
		`" instead, or see ` + anchor(violations[0].Code)
}
