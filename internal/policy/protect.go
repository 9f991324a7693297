// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"maps"
	"slices"
	"strings"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// guardResource is the resource of the Guard, GuardCRD the name of its definition.
const (
	guardResource = "guards"
	GuardCRD      = "guards.skott.dev"
)

// Namespace is where Skott's own objects are in every guarded cluster, Operator the user
// that it works as there, and CanaryUser the one that it sends its live proof as.
const (
	Namespace  = "skott-system"
	Operator   = "system:serviceaccount:skott-system:skott-operator"
	CanaryUser = "system:serviceaccount:skott-system:skott-canary"
)

// apiServer is the user that the API server writes the status of definitions as.
const apiServer = "system:apiserver"

// rule is one refusal that has no address: it applies to what it says, and says it in one
// sentence. The expressions are the same rule in CEL; compile_test.go holds both together.
type rule struct {
	code Code
	// applies, in Go and CEL: the request is the rule's concern.
	applies func(*Evaluator, *Request) bool
	when    string
	// holds, in Go and CEL: the request is refused.
	refuses func(*Evaluator, *Request) bool
	cond    string
	// text of the refusal, with {namespace}, {cluster} and {doc} to be filled in.
	text string
}

// protect refuses what would change the guard itself or the labels it goes by, and what is
// misplaced. Only Guards of action Deny protect, so that nothing is refused twice.
func (e *Evaluator) protect(r *Request) (Decision, bool) {
	if e.spec.Action != skottv1.ActionDeny {
		return Decision{}, false
	}
	for i := range rules {
		q := &rules[i]
		if !q.applies(e, r) || !q.refuses(e, r) {
			continue
		}
		return Decision{Codes: []Code{q.code}, Message: e.say(q, r)}, true
	}
	return Decision{}, false
}

const (
	whenCluster   = `request.resource.group == 'cluster.x-k8s.io' && request.resource.resource == 'clusters'`
	whenNamespace = `request.resource.group == '' && request.resource.resource == 'namespaces'`
	notOperator   = `request.userInfo.username != '` + Operator + `'`
)

// celDiffers is true when any label of Skott's differs between variables.labels and
// variables.oldLabels.
const celDiffers = `(variables.labels.exists(k, k.startsWith('skott.dev/') && (!(k in variables.oldLabels) || variables.labels[k] != variables.oldLabels[k])) || variables.oldLabels.exists(k, k.startsWith('skott.dev/') && !(k in variables.labels)))`

func isCluster(_ *Evaluator, r *Request) bool {
	return r.Group == "cluster.x-k8s.io" && r.Resource == "clusters" && r.Operation != "DELETE"
}

func isNamespace(_ *Evaluator, r *Request) bool {
	return r.Group == "" && r.Resource == "namespaces" && r.Operation != "DELETE"
}

// The rules by policy, in the order in which they are tried. canaryRules stand in every
// policy of movement.
var (
	canaryRules = []rule{{
		code: CodeCanary, when: "request.userInfo.username == '" + CanaryUser + "'", cond: "!has(request.dryRun) || !request.dryRun",
		applies: func(e *Evaluator, r *Request) bool {
			return r.User == CanaryUser && r.Operation != "DELETE" && (e.kind(r) != nil || isNamespace(nil, r))
		},
		refuses: func(_ *Evaluator, r *Request) bool { return !r.DryRun },
		text:    `is sent by the user of Skott's live proof, which sends nothing but dry runs; {cluster}. See {doc}`,
	}}
	clusterRules = []rule{
		{
			code: CodeMisplaced, applies: isCluster, when: whenCluster,
			refuses: func(e *Evaluator, r *Request) bool {
				own := labels(r.Object)
				return !e.operator(r) && e.spec.Cluster.Class == skottv1.ClassNonProduction &&
					(e.spec.Environments[own[skottv1.LabelEnvironment]] == skottv1.ClassProduction || own[skottv1.LabelStage] == string(skottv1.StageProduction))
			},
			cond: notOperator + ` && params.spec.cluster['class'] == 'NonProduction' && ` +
				`('skott.dev/environment' in variables.labels && variables.labels['skott.dev/environment'] in params.spec.environments && params.spec.environments[variables.labels['skott.dev/environment']] == 'Production'` +
				` || 'skott.dev/stage' in variables.labels && variables.labels['skott.dev/stage'] == 'production')`,
			text: `is misplaced: its labels say that it is of production; {cluster}. Create it under a production Management Cluster, or see {doc}`,
		},
		{
			code: CodeClusterLabel, applies: isCluster, when: whenCluster,
			refuses: func(e *Evaluator, r *Request) bool {
				if e.operator(r) {
					return false
				}
				if r.Operation == "CREATE" {
					return !e.ownValues(labels(r.Object))
				}
				return differs(labels(r.Object), labels(r.OldObject))
			},
			cond: notOperator + ` && (request.operation == 'CREATE' ? ` +
				`variables.labels.exists(k, k.startsWith('skott.dev/') && (!(k in variables.expected) || variables.labels[k] != variables.expected[k])) : ` + celDiffers + `)`,
			text: `changes a skott.dev label: the labels of a Cluster come from its ManagementCluster alone; {cluster}. Leave them out, or see {doc}`,
		},
		{
			code: CodeCustomerCluster, applies: isCluster, when: whenCluster,
			refuses: func(e *Evaluator, r *Request) bool {
				return r.Operation == "CREATE" && e.spec.Cluster.Class == skottv1.ClassNonProduction && e.customer(r.Namespace)
			},
			cond: `request.operation == 'CREATE' && params.spec.cluster['class'] == 'NonProduction' && ` +
				`params.spec.customerNamespaces.exists(n, n.endsWith('*') ? request.namespace.startsWith(n.substring(0, size(n) - 1)) : request.namespace == n)`,
			text: `is misplaced: namespace "{namespace}" holds customers' Clusters, which run under production Management Clusters only; {cluster}. Create it there, or see {doc}`,
		},
		{
			code: CodeNamespaceClaim, applies: isNamespace, when: whenNamespace,
			refuses: func(e *Evaluator, r *Request) bool {
				own := labels(r.Object)
				for k := range own {
					if r.Operation == "CREATE" && ownLabel(k) && (k != skottv1.LabelEnvironment || !e.mayClaim(own[k])) {
						return !e.operator(r)
					}
				}
				return false
			},
			cond: notOperator + ` && request.operation == 'CREATE' && variables.labels.exists(k, k.startsWith('skott.dev/') && (k != 'skott.dev/environment' || ` +
				`!(variables.labels[k] == params.spec.cluster.environment || variables.labels[k] in params.spec.environments && params.spec.environments[variables.labels[k]] == 'NonProduction')))`,
			text: `claims an Environment that it cannot be of: a namespace may only be of its cluster's Environment, or of one of class NonProduction; {cluster}. See {doc}`,
		},
		{
			code: CodeNamespaceLabel, applies: isNamespace, when: whenNamespace,
			refuses: func(e *Evaluator, r *Request) bool {
				return !e.operator(r) && r.Operation == "UPDATE" && differs(labels(r.Object), labels(r.OldObject))
			},
			cond: notOperator + ` && request.operation == 'UPDATE' && ` + celDiffers,
			text: `changes a skott.dev label: a namespace says of which Environment it is when it is created, and not again; {cluster}. Create another namespace, or see {doc}`,
		},
	}
	guardRules = []rule{
		{
			code: CodeGuard,
			applies: func(_ *Evaluator, r *Request) bool {
				return r.Group == skottv1.GroupVersion.Group && r.Resource == guardResource
			},
			when:    `request.resource.group == 'skott.dev' && request.resource.resource == 'guards'`,
			refuses: func(e *Evaluator, r *Request) bool { return !e.operator(r) },
			cond:    notOperator,
			text:    `is written by Skott alone: it says what this cluster refuses. Change the DataBoundary or DataLocation in the Ops Cluster, or see {doc}`,
		},
		{
			code: CodeGuardCRD,
			applies: func(_ *Evaluator, r *Request) bool {
				return r.Group == "apiextensions.k8s.io" && r.Resource == "customresourcedefinitions" && requestName(r) == GuardCRD
			},
			when: `request.resource.resource == 'customresourcedefinitions' && (oldObject == null ? object : oldObject).metadata.name == '` + GuardCRD + `'`,
			refuses: func(e *Evaluator, r *Request) bool {
				return !e.operator(r) && r.Operation != "CREATE" && (r.Subresource != "status" || r.User != apiServer)
			},
			cond: notOperator + ` && request.operation != 'CREATE' && (` + celSubresource + ` != 'status' || request.userInfo.username != '` + apiServer + `')`,
			text: `is written by Skott alone: without it the policies of this cluster have nothing to go by. See {doc}`,
		},
	}
	rules = slices.Concat(canaryRules, clusterRules, guardRules)
)

func (e *Evaluator) operator(r *Request) bool { return r.User == Operator }

// say fills the text of a rule in.
func (e *Evaluator) say(q *rule, r *Request) string {
	return strings.NewReplacer("{namespace}", r.Namespace, "{doc}", anchor(q.code)+" ("+string(q.code)+")",
		"{cluster}", `cluster "`+e.spec.Cluster.Name+`" belongs to Environment "`+e.spec.Cluster.Environment+`"`).Replace(q.text)
}

// celText is the text of a rule as a CEL expression.
func celText(q *rule) string {
	return strings.NewReplacer("{namespace}", `' + request.namespace + '`, "{doc}", anchor(q.code)+" ("+string(q.code)+")",
		"{cluster}", `cluster "' + params.spec.cluster.name + '" belongs to Environment "' + params.spec.cluster.environment + '"`).
		Replace("'" + strings.ReplaceAll(q.text, "'", `\'`) + "'")
}

// ownValues reports whether every label of Skott's says what the operator would write.
func (e *Evaluator) ownValues(own map[string]string) bool {
	want := expectedLabels(&e.spec.Cluster)
	for k, v := range own {
		if w, known := want[k]; ownLabel(k) && (!known || v != w) {
			return false
		}
	}
	return true
}

// expectedLabels are the labels of a new Cluster under a Management Cluster.
func expectedLabels(c *skottv1.GuardedCluster) map[string]string {
	return map[string]string{
		skottv1.LabelEnvironment: c.Environment, skottv1.LabelStage: c.Stage, skottv1.LabelDatacenter: c.Datacenter,
		skottv1.LabelManagementCluster: c.ManagementCluster, skottv1.LabelGuarded: "false",
	}
}

// celExpected is expectedLabels as CEL.
const celExpected = `{'skott.dev/environment': params.spec.cluster.environment, 'skott.dev/stage': params.spec.cluster.?stage.orValue(''), 'skott.dev/datacenter': params.spec.cluster.datacenter, 'skott.dev/management-cluster': params.spec.cluster.managementCluster, 'skott.dev/guarded': dyn('false')}`

// customer reports whether a namespace holds customers' Clusters.
func (e *Evaluator) customer(namespace string) bool {
	return slices.ContainsFunc(e.spec.CustomerNamespaces, func(n string) bool {
		if prefix, ok := strings.CutSuffix(n, "*"); ok {
			return strings.HasPrefix(namespace, prefix)
		}
		return namespace == n
	})
}

// labels of an object, as far as they are strings.
func labels(object map[string]any) map[string]string {
	meta, _ := object["metadata"].(map[string]any)
	all, _ := meta["labels"].(map[string]any)
	out := make(map[string]string, len(all))
	for k, v := range all {
		if s, ok := v.(string); ok {
			out[k] = s
		}
	}
	return out
}

// differs reports whether a label of Skott's was added, changed or removed.
func differs(now, before map[string]string) bool {
	own := func(all map[string]string) map[string]string {
		out := maps.Clone(all)
		maps.DeleteFunc(out, func(k, _ string) bool { return !ownLabel(k) })
		return out
	}
	return !maps.Equal(own(now), own(before))
}

func requestName(r *Request) string {
	object := r.Object
	if object == nil {
		object = r.OldObject
	}
	meta, _ := object["metadata"].(map[string]any)
	name, _ := meta["name"].(string)
	return name
}
