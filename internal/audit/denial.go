// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/skott-dev/skott/internal/policy"
)

// Denial is one request that Skott's policies or the guard webhook refused.
type Denial struct {
	// Time at which the API server received the request, as it wrote it.
	Time string `json:"time,omitempty"`
	// Cluster that refused it: the ManagementCluster, or MANAGEMENTCLUSTER/NAMESPACE/NAME.
	// The receiver fills it in, from whom it heard it.
	Cluster string `json:"cluster,omitempty"`
	// AuditID as the API server took it from the client, who may have chosen it.
	AuditID string `json:"auditID,omitempty"`
	// Policy or webhook that refused it.
	Policy string `json:"policy"`
	// Boundary that the object crosses, Code of the reason, and Path of the first field. Each
	// is empty where the denial says none.
	Boundary string      `json:"boundary,omitempty"`
	Code     policy.Code `json:"code,omitempty"`
	Path     string      `json:"path,omitempty"`
	// User whom the policies judged, and By who acted as that user, if somebody did.
	User string `json:"user"`
	By   string `json:"by,omitempty"`
	// Verb, and what the request was about.
	Verb        string `json:"verb"`
	Group       string `json:"group,omitempty"`
	Resource    string `json:"resource"`
	Subresource string `json:"subresource,omitempty"`
	Namespace   string `json:"namespace,omitempty"`
	Name        string `json:"name,omitempty"`
	DryRun      bool   `json:"dryRun,omitempty"`
	// Canary: it is a dry run of the live proof, and nobody's attempt.
	Canary bool `json:"-"`
}

// event is what is read of an event of audit.k8s.io/v1.
type event struct {
	Kind       string `json:"kind"`
	APIVersion string `json:"apiVersion"`

	AuditID          string    `json:"auditID"`
	Stage            string    `json:"stage"`
	RequestURI       string    `json:"requestURI"`
	Verb             string    `json:"verb"`
	User             user      `json:"user"`
	ImpersonatedUser *user     `json:"impersonatedUser"`
	ObjectRef        objectRef `json:"objectRef"`
	ResponseStatus   struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"responseStatus"`
	RequestReceived string `json:"requestReceivedTimestamp"`
}

type user struct {
	Username string `json:"username"`
}

type objectRef struct {
	Resource    string `json:"resource"`
	Subresource string `json:"subresource"`
	Namespace   string `json:"namespace"`
	Name        string `json:"name"`
	APIGroup    string `json:"apiGroup"`
}

const (
	// stageComplete is the one stage that has an answer: others of the same request are not counted.
	stageComplete = "ResponseComplete"
	// maxText bounds every text of a record: names are shorter, and what is longer is nobody's name.
	maxText = 512

	ownPolicy  = "skott-"
	ownWebhook = "guard.skott.dev"
)

// denial is what an event says of a denial by Skott, if it is one.
func (e *event) denial() (Denial, bool) {
	if e.Stage != stageComplete || e.ResponseStatus.Code != http.StatusForbidden {
		return Denial{}, false
	}
	by, text, ok := refusedBy(e.ResponseStatus.Message)
	if !ok {
		return Denial{}, false
	}
	d := Denial{
		Time: cut(e.RequestReceived), AuditID: cut(e.AuditID), Policy: cut(by), User: cut(e.User.Username), Verb: cut(e.Verb),
		Group: cut(e.ObjectRef.APIGroup), Resource: cut(e.ObjectRef.Resource), Subresource: cut(e.ObjectRef.Subresource),
		Namespace: cut(e.ObjectRef.Namespace), Name: cut(e.ObjectRef.Name), DryRun: dryRun(e.RequestURI),
	}
	if e.ImpersonatedUser != nil {
		d.User, d.By = cut(e.ImpersonatedUser.Username), d.User
	}
	// A canary that is no dry run is an attempt of somebody who has its token.
	d.Canary = d.DryRun && d.User == policy.CanaryUser
	d.Boundary, d.Path = crossing(text)
	d.Code = codeOf(text)
	return d, true
}

// refusedBy is the policy or webhook of Skott that a message says refused the request, and
// what it said. What requesters choose stands before that quoted only, so that nobody can
// make a refusal by somebody else look like one.
func refusedBy(message string) (by, text string, ok bool) {
	if rest, found := strings.CutPrefix(message, `admission webhook "`); found {
		name, text, found := strings.Cut(rest, `" denied the request: `)
		return name, text, found && (name == ownWebhook || strings.HasSuffix(name, "."+ownWebhook)) && !strings.Contains(name, `"`)
	}
	rest, found := strings.CutPrefix(afterObject(message), "ValidatingAdmissionPolicy '")
	if !found {
		return "", "", false
	}
	name, rest, found := strings.Cut(rest, "' with binding '")
	if !found || !strings.HasPrefix(name, ownPolicy) {
		return "", "", false
	}
	_, text, found = strings.Cut(rest, "' denied request: ")
	return name, text, found
}

// afterObject is a message without "RESOURCE "NAME" is forbidden: " before it.
func afterObject(message string) string {
	at := strings.IndexFunc(message, func(r rune) bool { return r == ' ' || r == '"' })
	if at < 0 {
		return ""
	}
	rest := message[at:]
	if strings.HasPrefix(rest, ` "`) {
		quoted, err := strconv.QuotedPrefix(rest[1:])
		if err != nil {
			return ""
		}
		rest = rest[1+len(quoted):]
	}
	rest, _ = strings.CutPrefix(rest, " is forbidden: ")
	return rest
}

// The text of a crossing, as internal/policy writes it.
var (
	crosses = regexp.MustCompile(`^crosses DataBoundary "([^"]{1,63})": (.*)$`)
	phrase  = regexp.MustCompile(` (?:reads from|writes to|names) [a-z ]{1,20} (?:"|that belongs to )`)
	// The last words of every text are where its code is explained.
	code = regexp.MustCompile(`#skott-d([0-9]{3})(?: \(SKOTT-D[0-9]{3}\))?$`)
)

// crossing is the boundary that a text names, and the path of the first field.
func crossing(text string) (boundary, path string) {
	parts := crosses.FindStringSubmatch(text)
	if parts == nil {
		return "", ""
	}
	if at := phrase.FindStringIndex(parts[2]); at != nil {
		path = cut(parts[2][:at[0]])
	}
	return parts[1], path
}

var known = policy.Codes()

// codeOf is the code that a text ends with, "" if it is none of Skott's.
func codeOf(text string) policy.Code {
	parts := code.FindStringSubmatch(text)
	if parts == nil {
		return ""
	}
	if c := policy.Code("SKOTT-D" + parts[1]); slices.Contains(known, c) {
		return c
	}
	return ""
}

// dryRun reports whether a request asked to change nothing.
func dryRun(uri string) bool {
	_, query, _ := strings.Cut(uri, "?")
	values, _ := url.ParseQuery(query) // what of it can be read
	return slices.Contains(values["dryRun"], "All")
}

// cut bounds a text, at a character.
func cut(text string) string {
	if len(text) <= maxText {
		return strings.ToValidUTF8(text, "?")
	}
	end := maxText
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return strings.ToValidUTF8(strings.Clone(text[:end]), "?")
}
