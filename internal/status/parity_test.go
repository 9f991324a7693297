// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

const roleWorkload skottv1.Role = "Workload"

// measured is a Workload Cluster cust/NAME with measures, "KIND NAME STRENGTH WORD".
func measured(name string, measures ...string) Measured {
	c := Measured{Words: []string{"production", "sto2"}, Cluster: Cluster{
		ManagementCluster: "mc", Namespace: "cust", Name: name, Role: roleWorkload,
		Measures: &Measures{Namespaces: map[string]bool{"shop": true, "web": true}, Gaps: map[string]string{}},
	}}
	for _, text := range measures {
		m := Measure{}
		_, _ = fmt.Sscan(text, &m.Kind, &m.Name, &m.Strength, &m.Says)
		c.Measures.All = append(c.Measures.All, m)
	}
	return c
}

func (c Measured) without(namespace string) Measured {
	delete(c.Measures.Namespaces, namespace)
	return c
}

func (c Measured) blindTo(kind string) Measured {
	c.Measures.Gaps[kind] = "forbidden"
	return c
}

func unread(name string) Measured {
	c := measured(name)
	c.Measures = nil
	return c
}

func as(role skottv1.Role, c Measured) Measured {
	c.Role = role
	return c
}

func TestParity(t *testing.T) {
	const deny, warn, audit = "Binding images 3 Deny", "Binding images 2 Warn", "Binding images 1 Audit"
	for name, c := range map[string]struct {
		production, here []Measured
		want             []string // "KIND NAME SAYS [weaker]: CLUSTERS"
		gaps             []string
	}{
		"alike":                             {[]Measured{measured("p", deny)}, []Measured{measured("s", deny)}, nil, nil},
		"more than production":              {[]Measured{measured("p", warn)}, []Measured{measured("s", deny, "Binding more 1 Audit")}, nil, nil},
		"missing":                           {[]Measured{measured("p", deny)}, []Measured{measured("s"), measured("t", deny), measured("u")}, []string{"Binding images Deny: cust/s cust/u"}, nil},
		"weaker":                            {[]Measured{measured("p", deny)}, []Measured{measured("s", audit), measured("t", warn)}, []string{"Binding images Deny weaker: cust/s cust/t"}, nil},
		"missing in one":                    {[]Measured{measured("p", deny)}, []Measured{measured("s", audit), measured("t")}, []string{"Binding images Deny: cust/s cust/t"}, nil},
		"in half of production":             {[]Measured{measured("p", deny), measured("q")}, []Measured{measured("s")}, nil, nil},
		"in most of production":             {[]Measured{measured("p", deny), measured("q", deny), measured("r")}, []Measured{measured("s")}, []string{"Binding images Deny: cust/s"}, nil},
		"as strong as most":                 {[]Measured{measured("p", deny), measured("q", warn), measured("r", audit)}, []Measured{measured("s", audit)}, []string{"Binding images Warn weaker: cust/s"}, nil},
		"of another role":                   {[]Measured{as(skottv1.RoleManagement, measured("p", deny)), measured("q")}, []Measured{measured("s")}, nil, nil},
		"unread production":                 {[]Measured{measured("p", deny), unread("q"), unread("r")}, []Measured{measured("s")}, []string{"Binding images Deny: cust/s"}, nil},
		"a gap in production":               {[]Measured{measured("p", deny), measured("q").blindTo("Binding")}, []Measured{measured("s")}, []string{"Binding images Deny: cust/s"}, nil},
		"a gap here":                        {[]Measured{measured("p", deny)}, []Measured{measured("s").blindTo("Binding")}, nil, []string{"Binding in cust/s: forbidden"}},
		"unread here":                       {[]Measured{measured("p", deny)}, []Measured{unread("s")}, nil, []string{"cust/s was not read yet"}},
		"nothing of production":             {[]Measured{unread("p")}, []Measured{measured("s")}, nil, []string{"no production cluster was read yet"}},
		"a namespace of both":               {[]Measured{measured("p", "PodSecurity web 2 restricted")}, []Measured{measured("s", "PodSecurity web 1 baseline")}, []string{"PodSecurity web restricted weaker: cust/s"}, nil},
		"a namespace of production's":       {[]Measured{measured("p", "PodSecurity web 2 restricted")}, []Measured{measured("s").without("web")}, nil, nil},
		"a namespace of some of production": {[]Measured{measured("p", "NetworkPolicy web 1"), measured("q").without("web")}, []Measured{measured("s")}, []string{"NetworkPolicy web : cust/s"}, nil},
		"named after its cluster":           {[]Measured{measured("shop-prod-9fq4d", "Policy limits-shop-prod-9fq4d 2 Fail")}, []Measured{measured("s")}, nil, nil},
		"named after its customer":          {[]Measured{measured("p", "Policy cust.quota 2 Fail")}, []Measured{measured("s")}, nil, nil},
		"named after its Environment":       {[]Measured{measured("p", "Policy only-production 2 Fail", "Policy sto2 2 Fail")}, []Measured{measured("s")}, nil, nil},
		"only like that":                    {[]Measured{measured("p", "Policy customs 2 Fail", "Policy productions 2 Fail")}, []Measured{measured("s")}, []string{"Policy customs Fail: cust/s", "Policy productions Fail: cust/s"}, nil},
	} {
		got, gaps := Parity(c.production, c.here)
		if diff := cmp.Diff(c.gaps, gaps); diff != "" {
			t.Errorf("%s: gaps\n%s", name, diff)
		}
		var texts []string
		if got != nil {
			for _, m := range got.Missing {
				text := m.Kind + " " + m.Name + " " + m.Production
				if *m.Weaker {
					text += " weaker"
				}
				texts = append(texts, text+": "+strings.Join(m.Clusters, " "))
			}
		}
		if diff := cmp.Diff(c.want, texts); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

// The guard is a measure, and its webhook: a proof that is late is no lack.
func TestParityOfTheGuard(t *testing.T) {
	p, s := measured("p"), measured("s")
	p.Guard.ProvedRevision, p.Webhook.Phase = "1", WebhookActs
	s.Guard.ProvedRevision, s.Guard.Phase, s.Webhook.Phase = "1", Unreachable, WebhookAway
	if got, gaps := Parity([]Measured{p}, []Measured{s}); len(got.Missing)+len(gaps) > 0 || *got.Measures != 2 {
		t.Errorf("%+v %v", got, gaps)
	}
	s.Webhook.Phase = WebhookOff
	if got, _ := Parity([]Measured{p}, []Measured{s}); len(got.Missing) != 1 || got.Missing[0].Kind != "GuardWebhook" {
		t.Errorf("%+v, want the webhook", got.Missing)
	}
}

func TestParityIsBounded(t *testing.T) {
	p := measured("p")
	for i := range 200 {
		p.Measures.All = append(p.Measures.All, Measure{Kind: "Policy", Name: fmt.Sprintf("p-%03d", i), Strength: 1})
	}
	var here []Measured
	for i := range 20 {
		here = append(here, measured(fmt.Sprintf("s%02d", i)))
	}
	got, _ := Parity([]Measured{p}, here)
	if *got.MissingCount != 200 || len(got.Missing) != maxMissing || got.Missing[0].ClusterCount != 20 || len(got.Missing[0].Clusters) != maxLacking {
		t.Errorf("%d, %d listed, %+v", *got.MissingCount, len(got.Missing), got.Missing[0])
	}
}

func TestParityCondition(t *testing.T) {
	member := func(name string, c Measured) Member {
		self := c.Cluster
		self.ManagementCluster, self.Namespace, self.Name, self.Role = name, "", "", skottv1.RoleManagement
		return Member{Name: name, Self: self}
	}
	view := EnvironmentView{
		Places:      map[string]string{"mp": "production", "ms": "staging"},
		Stages:      map[string]skottv1.Stage{"production": skottv1.StageProduction, "staging": skottv1.StageStaging},
		Datacenters: map[string]string{},
	}
	condition := func(stage skottv1.Stage, name string, here Measured) *metav1.Condition {
		e := &skottv1.Environment{Spec: skottv1.EnvironmentSpec{Stage: stage}}
		e.Name = name
		meta.SetStatusCondition(&e.Status.Conditions, metav1.Condition{Type: skottv1.ConditionSecurityParity, Status: metav1.ConditionFalse, Reason: "Before"})
		view.Members = map[string]Member{"mp": member("mp", measured("", "Policy images 2 Fail")), "ms": member("ms", here)}
		parity(e, view)
		return meta.FindStatusCondition(e.Status.Conditions, skottv1.ConditionSecurityParity)
	}
	if c := condition(skottv1.StageProduction, "production", measured("")); c != nil {
		t.Errorf("production has %+v", c)
	}
	if c := condition(skottv1.StageStaging, "staging", measured("", "Policy images 2 Fail")); c.Status != metav1.ConditionTrue || c.Reason != skottv1.ReasonParity {
		t.Errorf("%+v", c)
	}
	if c := condition(skottv1.StageStaging, "staging", measured("")); c.Status != metav1.ConditionFalse || !strings.Contains(c.Message, "1 of 1 security measures of production are missing or weaker: Policy images (Fail) in ms") {
		t.Errorf("%+v", c)
	}
	for _, here := range []Measured{unread(""), measured("").blindTo("Policy")} {
		if c := condition(skottv1.StageStaging, "staging", here); c.Status != metav1.ConditionUnknown || c.Reason != skottv1.ReasonNotCompared {
			t.Errorf("%+v", c)
		}
	}
	if c := condition(skottv1.StageTesting, "testing", measured("")); c.Status != metav1.ConditionUnknown || c.Message != "the Environment has no cluster" {
		t.Errorf("%+v", c)
	}
}

// A fleet of 300 clusters with 200 measures each is compared whenever anything is observed.
func BenchmarkParity(b *testing.B) {
	var fleet []Measured
	for i := range 300 {
		c := measured(fmt.Sprintf("c%03d", i))
		for j := range 200 {
			c.Measures.All = append(c.Measures.All, Measure{Kind: "Policy", Name: fmt.Sprintf("policy-%03d", j), Strength: 1})
		}
		fleet = append(fleet, c)
	}
	b.Run("First", func(b *testing.B) {
		for b.Loop() {
			Parity(fleet[:150], fleet[150:])
		}
	})
	b.Run("Unchanged", func(b *testing.B) {
		var c Comparison
		for b.Loop() {
			c.Parity(fleet[:150], fleet[150:])
		}
	})
}

// What is remembered is never other than what would be computed.
func TestComparisonRemembers(t *testing.T) {
	var c Comparison
	p, s := measured("p", "Policy images 2 Fail"), measured("s")
	say := func() int32 {
		got, _ := c.Parity([]Measured{p}, []Measured{s})
		count := *got.MissingCount
		*got.MissingCount = 99 // whoever gets it may change it
		return count
	}
	for range 2 {
		if n := say(); n != 1 {
			t.Fatalf("%d are missing, want 1", n)
		}
	}
	s = measured("s", "Policy images 2 Fail")
	if n := say(); n != 0 {
		t.Errorf("%d are missing where all is there now", n)
	}
	p.Webhook.Phase = WebhookActs
	if n := say(); n != 1 {
		t.Errorf("%d are missing without a webhook, want 1", n)
	}
	s.Webhook.Phase = WebhookAway
	if n := say(); n != 0 {
		t.Errorf("%d are missing with one", n)
	}
	p.Words = []string{"images", "sto2"}
	if got, _ := c.Parity([]Measured{p}, []Measured{s}); *got.Measures != 1 {
		t.Errorf("%d measures, want that of the webhook alone", *got.Measures)
	}
}
