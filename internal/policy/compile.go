// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/flow"
)

// guardFamily is the policy that protects the Guard. It takes no parameter: a Guard that is
// missing must be possible to write.
const guardFamily flow.Family = "guard"

// PolicyName is the name of the policy of a family, and of its binding for an action.
func PolicyName(family flow.Family, action skottv1.Action) string {
	name := "skott-" + string(family)
	if action != "" {
		name += "-" + strings.ToLower(string(action))
	}
	return name
}

func newPolicy(family flow.Family) *admissionv1.ValidatingAdmissionPolicy {
	fail, equivalent := failure(true), admissionv1.Equivalent
	return &admissionv1.ValidatingAdmissionPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "ValidatingAdmissionPolicy"},
		ObjectMeta: metav1.ObjectMeta{Name: PolicyName(family, ""), Labels: map[string]string{skottv1.LabelManagedBy: skottv1.FieldOwner}},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: &fail,
			ParamKind:     &admissionv1.ParamKind{APIVersion: skottv1.GroupVersion.String(), Kind: "Guard"},
			MatchConstraints: &admissionv1.MatchResources{
				MatchPolicy: &equivalent, NamespaceSelector: &metav1.LabelSelector{}, ObjectSelector: &metav1.LabelSelector{},
			},
		},
	}
}

// resource is a rule for one resource with its subresources, in every served version.
func resource(group string, operations []admissionv1.OperationType, resources ...string) admissionv1.NamedRuleWithOperations {
	scope := admissionv1.AllScopes
	return admissionv1.NamedRuleWithOperations{RuleWithOperations: admissionv1.RuleWithOperations{
		Operations: operations,
		Rule:       admissionv1.Rule{APIGroups: []string{group}, APIVersions: []string{"*"}, Resources: resources, Scope: &scope},
	}}
}

var (
	writes = []admissionv1.OperationType{admissionv1.Create, admissionv1.Update}
	// requests store no object.
	requests = []admissionv1.OperationType{admissionv1.Create, admissionv1.Connect}
	changes  = []admissionv1.OperationType{admissionv1.Create, admissionv1.Update, admissionv1.Delete}
)

func guardResources() []admissionv1.NamedRuleWithOperations {
	return []admissionv1.NamedRuleWithOperations{
		resource(skottv1.GroupVersion.Group, changes, guardResource, guardResource+"/*"),
		resource("apiextensions.k8s.io", changes[1:], "customresourcedefinitions", "customresourcedefinitions/*"),
	}
}

// clusterResources are written through subresources too: labels can be changed there.
func clusterResources() []admissionv1.NamedRuleWithOperations {
	return []admissionv1.NamedRuleWithOperations{
		resource("cluster.x-k8s.io", writes, "clusters", "clusters/*"),
		resource("", writes, "namespaces", "namespaces/*"),
	}
}

// addRules adds the validations of rules that have no address.
func addRules(p *admissionv1.ValidatingAdmissionPolicy, rules []rule) {
	guarded := ""
	if p.Spec.ParamKind != nil {
		guarded = "params.spec.action == 'Deny' && "
	}
	if slices.ContainsFunc(rules, func(q rule) bool { return strings.Contains(q.cond, "variables.labels") }) {
		p.Spec.Variables = append(p.Spec.Variables,
			variable("labels", "object.metadata[?'labels'].orValue({})"),
			variable("oldLabels", "oldObject == null ? {} : oldObject.metadata[?'labels'].orValue({})"),
			variable("expected", celExpected))
	}
	for i := range rules {
		q := &rules[i]
		p.Spec.Validations = append(p.Spec.Validations, validation("!("+guarded+q.when+" && ("+q.cond+"))", celText(q), "refused by Skott ("+string(q.code)+")"))
	}
}

func validation(expression, message, fallback string) admissionv1.Validation {
	forbidden := metav1.StatusReasonForbidden
	return admissionv1.Validation{Expression: expression, MessageExpression: message, Message: fallback, Reason: &forbidden}
}

func variable(name, expression string) admissionv1.Variable {
	return admissionv1.Variable{Name: name, Expression: expression}
}

// addMovement adds what decides over references: the variables that read an object step by
// step, each only evaluated when the next one asks for it, and one validation.
func addMovement(p *admissionv1.ValidatingAdmissionPolicy, family flow.Family, kinds []*flow.Kind) {
	c := &compiler{}
	for _, k := range kinds {
		if k.Family != family || !k.InPolicy() {
			continue
		}
		readable := *k
		readable.Fields = slices.DeleteFunc(slices.Clone(k.Fields), func(f flow.Field) bool { return !f.InPolicy() })
		c.kinds = append(c.kinds, &readable)
		resources := []string{k.Resource}
		for _, sub := range k.Subresources {
			resources = append(resources, k.Resource+"/"+sub)
		}
		p.Spec.MatchConstraints.ResourceRules = append(p.Spec.MatchConstraints.ResourceRules, resource(k.Group, writes, resources...))
	}
	for _, k := range flow.Channels() {
		if k.Family == family {
			c.kinds = append(c.kinds, k)
			p.Spec.MatchConstraints.ResourceRules = append(p.Spec.MatchConstraints.ResourceRules, resource(k.Group, requests, k.Resource+"/"+k.Channel))
		}
	}
	if !family.Everywhere() {
		c.kinds = append(c.kinds, canaryKind)
		p.Spec.MatchConstraints.ResourceRules = append(p.Spec.MatchConstraints.ResourceRules, canaryResource(family))
	}
	p.Spec.MatchConstraints.ExcludeResourceRules = unread(p.Spec.MatchConstraints.ResourceRules)
	p.Spec.Variables = c.variables()
	if k := c.kinds[0]; len(c.kinds) == 1 && !slices.ContainsFunc(k.Fields, func(f flow.Field) bool { return !isText(&f) }) {
		p.Spec.MatchConditions = []admissionv1.MatchCondition{{Name: "may-name-an-address", Expression: celMayName(k)}}
	}
	// Rules come before crossings, as in Evaluate: the first refusal is the one that is told.
	if family == flow.Clusters {
		p.Spec.MatchConstraints.ResourceRules = append(clusterResources(), p.Spec.MatchConstraints.ResourceRules[1:]...)
		addRules(p, slices.Concat(canaryRules, clusterRules))
	} else {
		addRules(p, canaryRules)
	}
	p.Spec.Validations = append(p.Spec.Validations, validation("variables.refs == '' || variables.crossings == ''", "variables.refs == '' ? '' : "+celMessage, "crosses a DataBoundary of Skott"))
}

// unread is the CRD of the Guard, where a policy would read it: without that kind no policy that
// has a Guard for a parameter can work, and they would refuse the one object that puts it right.
// The guard's own policy protects it.
func unread(matched []admissionv1.NamedRuleWithOperations) []admissionv1.NamedRuleWithOperations {
	own := resource("apiextensions.k8s.io", writes, "customresourcedefinitions")
	own.ResourceNames = []string{GuardCRD}
	if slices.ContainsFunc(matched, func(r admissionv1.NamedRuleWithOperations) bool {
		return slices.Equal(r.APIGroups, own.APIGroups) && slices.Contains(r.Resources, own.Resources[0])
	}) {
		return []admissionv1.NamedRuleWithOperations{own}
	}
	return nil
}

// celMayName is true unless the object, of a kind that holds nothing but free text, is left to the webhook,
// or is small and names no host of the Guard: then nothing can cross. The API server evaluates it once,
// and what stands in validations twice, for their messages, whatever they say.
func celMayName(k *flow.Kind) string {
	sums, texts := make([]string, len(k.Fields)), make([]string, len(k.Fields))
	for i := range k.Fields {
		sums[i], texts[i] = sizeOf(k, &k.Fields[i]), textOf(k, &k.Fields[i])
	}
	heads := "t.findAll(" + quote(address.HeadPattern) + ")"
	named := bind("s", heads, fmt.Sprintf("size(s) * (1 + size(params.spec.suffixLabels)) > %d || s.exists(h, %s)", maxHeads/4, celSuspect))
	named = bind("t", "["+strings.Join(texts, ", ")+"].join('\\n').lowerAscii()",
		fmt.Sprintf("size(t) * size(params.spec.suffixLabels) > %d || %s", maxWide/4, named))
	return strings.ReplaceAll(fmt.Sprintf("%s || !(%s) && (%s > %d || %s > %d || %s)", canaryRules[0].when, celLeft([]*flow.Kind{k}),
		strings.Join(counts(k), " + "), maxItems, strings.Join(sums, " + "), maxText/4, named), celRoot, "dyn(object)")
}

// celEnding is ending.
func celEnding() string {
	same := make([]string, len(contents))
	for i, field := range contents {
		same[i] = fmt.Sprintf("object[?%s] == oldObject[?%s]", quote(field), quote(field))
	}
	return "has(object.metadata) && has(object.metadata.deletionTimestamp) && oldObject != null && " + strings.Join(same, " && ")
}

// compiler turns the kinds of one family into the variables of its policy.
type compiler struct {
	kinds []*flow.Kind
	out   []admissionv1.Variable
}

// variables builds the chain of a policy. It is cut into many small expressions: the type
// checker's work grows faster than their length, and a variable is only evaluated when it
// is asked for.
func (c *compiler) variables() []admissionv1.Variable {
	c.add("subresource", celSubresource)
	c.add("claim", celClaim)
	c.add("here", "variables.claim == '' ? params.spec.cluster.environment : variables.claim")
	root, rootPath := c.roots()
	c.add("root", "dyn("+root+")")
	if rootPath != "" {
		c.add("rootPath", rootPath)
	}
	c.add("ending", celEnding())
	c.add("bounded", c.byRows(func(rows string, k *flow.Kind) string { return c.atMost("count_"+rows, counts(k), maxItems) }, "false"))
	c.add("long", c.byRows(func(rows string, k *flow.Kind) string {
		if within := c.atMost("length_"+rows, lengths(k), maxExact); within != "true" {
			return "variables.bounded && !(" + within + ")"
		}
		return "false"
	}, "false"))
	exact := c.perField("exact", isExact, exactRows, "[%s].filter(x, x != '').join('\\n')")
	refs := exact
	if size := c.perField("size", isText, sizeOf, "[%s].sum()"); size != "" {
		text := c.perField("text", isText, textOf, "[%s].filter(x, x != '').join('\\n')")
		c.add("left", celLeft(c.kinds))
		c.add("text", fmt.Sprintf("!variables.left && variables.bounded && %s <= %d ? %s.lowerAscii() : ''", paren(size), maxText, paren(text)))
		c.add("heads", "variables.text.findAll("+quote(address.HeadPattern)+")")
		c.add("suspects", fmt.Sprintf("size(variables.heads) * (1 + size(params.spec.suffixLabels)) <= %d && size(variables.text) * size(params.spec.suffixLabels) <= %d ? "+
			"size(variables.heads.filter(h, %s)) : 0", maxHeads, maxWide, celSuspect))
		free := c.perField("free", isText, textRows, "[%s].filter(x, x != '').join('\\n')")
		c.add("exact", exact)
		c.add("free", fmt.Sprintf("variables.suspects > 0 && (variables.suspects + size(variables.exact.split('\\n'))) * %s <= %d ? %s : ''", celWidth, maxLookups, paren(free)))
		refs = fmt.Sprintf("[variables.exact, size(variables.free) <= %d && size(variables.free.split('/')) <= %d ? variables.free : ''].filter(x, x != '').join('\\n')",
			maxRows/2, maxSegments/2)
	}
	c.add("refs", "!variables.ending && variables.bounded && !variables.long ? "+paren(refs)+" : ''")
	c.there()
	c.add("keyed", celKeyed)
	c.add("owned", celOwned)
	c.add("crossings", celCrossings)
	return c.out
}

func (c *compiler) add(name, expression string) { c.out = append(c.out, variable(name, expression)) }

// perField gives every wanted field a variable of its own, and returns the expression that
// puts those of the request's resource together, or "" if there are none.
func (c *compiler) perField(name string, want func(*flow.Field) bool, build func(*flow.Kind, *flow.Field) string, together string) string {
	found := false
	expr := c.byRows(func(rows string, k *flow.Kind) string {
		var names []string
		for i := range k.Fields {
			if f := &k.Fields[i]; want(f) {
				v := fmt.Sprintf("%s_%s_%d", name, rows, i)
				c.add(v, build(k, f))
				names = append(names, "variables."+v)
			}
		}
		if len(names) == 0 {
			return ""
		}
		found = true
		return fmt.Sprintf(together, strings.Join(names, ", "))
	}, map[bool]string{true: "0", false: "''"}[strings.Contains(together, "sum")])
	if !found {
		return map[bool]string{true: "", false: "''"}[name != "exact"]
	}
	return expr
}

func paren(s string) string { return "(" + s + ")" }

// celSubresource is the subresource of the request; the API server leaves an empty one out.
const celSubresource = "(has(request.subResource) ? request.subResource : '')"

// celClaim is the Environment that the namespace of the object is of, if not its cluster's.
const celClaim = `[namespaceObject != null && has(namespaceObject.metadata.labels) && 'skott.dev/environment' in namespaceObject.metadata.labels ? namespaceObject.metadata.labels['skott.dev/environment'] : '']` +
	`.map(c, c != '' && (c == params.spec.cluster.environment || c in params.spec.environments && params.spec.environments[c] == 'NonProduction') ? c : '')[0]`

// when is true for requests of the given kinds.
func when(kinds ...*flow.Kind) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.Resource
	}
	if len(names) == 1 {
		return "request.resource.resource == " + quote(names[0])
	}
	return "request.resource.resource in " + quotes(names)
}

// quotes is a list of texts in CEL.
func quotes(texts []string) string {
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = quote(t)
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// roots are the map that paths start at, and how its path is shown if it is not the object.
func (c *compiler) roots() (root, path string) {
	root, path = "object", "''"
	for _, k := range c.kinds {
		if k.Root == "" {
			continue
		}
		root = when(k) + " ? " + celMap("object", k.Steps()) + " : " + root
		path = when(k) + " ? " + quote(k.Root) + " : " + path
	}
	if root == "object" {
		path = ""
	}
	for _, k := range c.kinds {
		if k.Channel != "" && root != "object" { // a pod has a root, what is run in it has none
			is := when(k) + " && variables.subresource == " + quote(k.Channel)
			root, path = is+" ? object : "+root, is+" ? '' : "+path
		}
	}
	return root, path
}

// byRows chooses, by the resource of the request, what build makes of its fields. Kinds
// that share their rows share the expression.
func (c *compiler) byRows(build func(rows string, k *flow.Kind) string, otherwise string) string {
	type rows struct {
		kinds []*flow.Kind
		expr  string
	}
	var groups []rows
	for _, k := range c.kinds {
		if i := slices.IndexFunc(groups, func(r rows) bool { return r.kinds[0].Rows == k.Rows }); i >= 0 {
			groups[i].kinds = append(groups[i].kinds, k)
			continue
		}
		groups = append(groups, rows{[]*flow.Kind{k}, build(identifier(k.Rows), k)})
	}
	out := otherwise
	for _, g := range slices.Backward(groups) {
		if g.expr == otherwise || g.expr == "" {
			continue
		}
		subresource := "variables.subresource == ''"
		if channel := g.kinds[0].Channel; channel != "" {
			subresource = "variables.subresource == " + quote(channel)
		} else if subs := g.kinds[0].Subresources; len(subs) > 0 {
			subresource = "variables.subresource in " + quotes(append([]string{""}, subs...))
		}
		out = when(g.kinds...) + " && " + subresource + " ? " + paren(g.expr) + " : " + out
	}
	return out
}

// isText: free text, which may be of any size. A destination is one URL.
func isText(f *flow.Field) bool { return f.Form == flow.Text && f.End != flow.Destination }

func isExact(f *flow.Field) bool { return f.End != flow.Destination && !isText(f) }

func isDestination(f *flow.Field) bool { return f.End == flow.Destination }

// identifier is a name that can stand in a variable.
func identifier(s string) string { return strings.NewReplacer("-", "_", ".", "_").Replace(s) }

// there adds the place that the object delivers to: the owner of its destination, or here.
func (c *compiler) there() {
	rows := c.perField("destination", isDestination, exactRows, "[%s].filter(x, x != '').join('\\n')")
	if rows == "" {
		c.add("there", "variables.here")
		return
	}
	c.add("destinations", "variables.bounded && !variables.long ? "+paren(rows)+" : ''")
	c.add("destinationKeys", strings.ReplaceAll(celKeyed, "variables.refs", "variables.destinations"))
	c.add("destinationOwners", strings.NewReplacer("variables.keyed", "variables.destinationKeys", "variables.there", "variables.here").Replace(celOwned))
	c.add("there", fmt.Sprintf("(variables.destinationOwners.map(r, r[%d]) + [variables.here])[0]", colOwner))
}

// celKeyed splits variables.refs into rows and appends the key of the token, and the key.
var celKeyed = fmt.Sprintf("variables.refs == '' || size(variables.refs) > %d || size(variables.refs) * size(params.spec.depths) > %d || "+
	"size(variables.refs.split('/')) > %d || size(variables.refs.split('\\n')) * %s > %d ? [] : variables.refs.split('\\n').map(l, dyn(l.split('\\t')))",
	maxRows, 10*maxRows, maxSegments, celWidth, maxLookups) +
	fmt.Sprintf(".map(r, r + [[r[%d].find(%s)].map(t, t == '' ? '' : %s)[0]])", colToken, quote(address.TokenPattern), celTokenKey()) +
	fmt.Sprintf(".map(r, r + [r[%[1]d] == '%[2]s' ? r[%[3]d] : r[%[1]d] == '%[4]s' ? (r[%[5]d] == '' ? '' : r[%[5]d] + '/' + r[%[3]d]) : "+
		"r[%[1]d] == '%[6]s' ? (r[%[5]d] == '' ? r[%[7]d] : r[%[5]d]) + '/' + r[%[3]d] : "+
		"r[%[1]d] == '%[8]s' ? (r[%[5]d] == '' ? '' : "+celGit("r[%[5]d]")+" + '/' + r[%[3]d]) : "+
		"r[%[1]d] == '%[9]s' ? (r[%[3]d] in params.spec.aliases ? params.spec.aliases[r[%[3]d]] : '') : isIP(r[%[10]d]) ? r[%[10]d] : r[%[5]d]])",
		colForm, rowPath, colRest, rowToken, colTokenKey, rowBucket, colElse, rowGit, rowAlias, colToken) +
	fmt.Sprintf(".map(r, r + ["+celPath("r[%d]")+"]).filter(r, r[%d] != '')", colRaw, colKey)

// celPulls is true when a boundary forbids data of the place owner to reach there.
func celPulls(owner string) string {
	return "(" + owner + " in params.spec.crossings && variables.there in params.spec.crossings[" + owner + "])"
}

// celOwned appends the most specific address that holds the key, and its owner, and drops
// what nobody owns.
var celOwned = fmt.Sprintf("variables.keyed.map(r, [r[%[1]d]].map(k, r + ["+celMatches+"].map(c, r[%[2]d] == '"+flagBucket+"' && k in params.spec.parents && (size(c) == 0 || c[0] != k && (params.spec.addresses[c[0]] == '' || "+celPulls("params.spec.parents[k]")+" && !"+celPulls("params.spec.addresses[c[0]]")+")) ? [k, params.spec.parents[k]] : "+
	"size(c) > 0 ? [c[0], params.spec.addresses[c[0]]] : [dyn(''), dyn('')])[0])[0]).filter(r, r[%[3]d] != '')", colKey, colFlag, colOwner)

// celCrossings turns the rows that have an owner into the references that a boundary
// forbids: boundary, code and sentence, one a line.
var celCrossings = fmt.Sprintf("variables.owned.map(r, r + [r[%[1]d] != 'T' && r[%[2]d] in params.spec.crossings && variables.there in params.spec.crossings[r[%[2]d]] ? params.spec.crossings[r[%[2]d]][variables.there] : "+
	"variables.there == variables.here && r[%[1]d] != 'T' && r[%[2]d] in params.spec.crossings && params.spec.cluster.environment in params.spec.crossings[r[%[2]d]] ? params.spec.crossings[r[%[2]d]][params.spec.cluster.environment] : dyn('')])"+
	".map(r, r[%[3]d] != '' ? [dyn(r), dyn(r[%[3]d]), dyn(r[%[1]d] == 'S' ? '3' : '1')] : r[%[1]d] in ['T', 'N'] && variables.here in params.spec.crossings && r[%[2]d] in params.spec.crossings[variables.here] ? "+
	"[dyn(r), params.spec.crossings[variables.here][r[%[2]d]], dyn('2')] : [dyn(r), dyn(''), dyn('')]).filter(c, c[1] != '')"+
	".map(c, [c[0]].map(r, c[1] + '\\tSKOTT-D' + c[2] + r[%[4]d] + '\\t' + r[%[5]d] + ' ' + r[%[6]d] + ' \"' + "+
	"[r[%[7]d] == '"+rowAlias+"' ? r[%[11]d] : r[%[8]d] != '"+flagText+"' ? r[%[9]d] : r[%[9]d].startsWith(r[%[10]d]) ? r[%[10]d] : r[%[9]d].find('^[^/:]*')].map(w, "+celCut("w", maxValue)+")[0] + "+
	"'\", which belongs to Environment \"' + r[%[2]d] + '\" (SKOTT-D' + c[2] + r[%[4]d] + ')')[0]).join('\\n')",
	colWay, colOwner, colPull, colNumber, colPath, colPhrase, colForm, colFlag, colKey, colMatch, colRest)

// celMessage is crossingMessage.
var celMessage = fmt.Sprintf("[variables.crossings.split('\\n')].map(l, 'crosses DataBoundary \"' + l[0].split('\\t')[0] + '\": ' + "+
	"(size(l) <= %d ? l : variables.crossings.split('\\n', %d).filter(x, !x.contains('\\n'))).map(x, x.split('\\t')[2]).join('; ') + "+
	"(size(l) <= %d ? '' : '; and ' + string(size(l) - %d) + ' more') + '; ' + "+
	"(variables.claim == '' ? 'cluster \"' + params.spec.cluster.name : 'namespace \"' + request.namespace) + '\" belongs to Environment \"' + variables.here + "+
	"'\". Use one of Environment \"' + variables.here + '\" instead, or see %s#' + l[0].split('\\t')[1].lowerAscii())[0]",
	maxListed, maxListed, maxListed, maxListed-1, Documentation)

// Bindings binds every policy for each action in use: each binding reads the Guards of its
// own action. The guard's own policy needs none.
func Bindings(families []flow.Family, actions ...skottv1.Action) []*admissionv1.ValidatingAdmissionPolicyBinding {
	// Where nothing says what to refuse, everything is; but nothing where it would only be told.
	missing := map[skottv1.Action]admissionv1.ParameterNotFoundActionType{
		skottv1.ActionDeny: admissionv1.DenyAction, skottv1.ActionWarn: admissionv1.AllowAction, skottv1.ActionAudit: admissionv1.AllowAction,
	}
	var out []*admissionv1.ValidatingAdmissionPolicyBinding
	for _, family := range families {
		for _, action := range actions {
			if family == guardFamily && action != skottv1.ActionDeny {
				continue
			}
			b := &admissionv1.ValidatingAdmissionPolicyBinding{
				TypeMeta:   metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "ValidatingAdmissionPolicyBinding"},
				ObjectMeta: metav1.ObjectMeta{Name: PolicyName(family, action), Labels: map[string]string{skottv1.LabelManagedBy: skottv1.FieldOwner}},
				Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
					PolicyName: PolicyName(family, ""), ValidationActions: validationActions[action],
				},
			}
			if family != guardFamily {
				notFound := missing[action]
				b.Spec.ParamRef = &admissionv1.ParamRef{
					Selector:                &metav1.LabelSelector{MatchLabels: map[string]string{skottv1.LabelAction: string(action)}},
					ParameterNotFoundAction: &notFound,
				}
			}
			out = append(out, b)
		}
	}
	return out
}

// validationActions of a binding; with Audit, the API server's audit log holds the violation
// too, which is the only record that a policy leaves.
var validationActions = map[skottv1.Action][]admissionv1.ValidationAction{
	skottv1.ActionDeny:  {admissionv1.Deny, admissionv1.Audit},
	skottv1.ActionWarn:  {admissionv1.Warn, admissionv1.Audit},
	skottv1.ActionAudit: {admissionv1.Audit},
}
