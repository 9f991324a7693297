// SPDX-License-Identifier: Apache-2.0

package observability_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/skott-dev/skott/test/testenv"
)

const (
	root          = "../.."
	ruleFile      = root + "/config/prometheus/prometheusrule.yaml"
	dashboardFile = root + "/config/grafana/dashboard.json"
)

// rule is an alert of a PrometheusRule.
type rule struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// rules writes what Prometheus reads of the PrometheusRule into a file, and returns its alerts.
func rules(t testing.TB, file string) []rule {
	t.Helper()
	var object struct {
		Spec json.RawMessage `json:"spec"`
	}
	var spec struct {
		Groups []struct {
			Rules []rule `json:"rules"`
		} `json:"groups"`
	}
	if err := yaml.Unmarshal(read(t, ruleFile), &object); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(object.Spec, &spec); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, object.Spec, 0o600); err != nil { // JSON is YAML
		t.Fatal(err)
	}
	var out []rule
	for _, g := range spec.Groups {
		out = append(out, g.Rules...)
	}
	if len(out) == 0 {
		t.Fatalf("%s has no rules", ruleFile)
	}
	return out
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// query is an expression of the dashboard.
type query struct {
	Panel, Expr string
}

type panel struct {
	ID         int               `json:"id"`
	Type       string            `json:"type"`
	Title      string            `json:"title"`
	Datasource map[string]string `json:"datasource"`
	GridPos    struct{ H, W, X, Y int }
	Targets    []struct {
		Expr       string            `json:"expr"`
		Datasource map[string]string `json:"datasource"`
	} `json:"targets"`
}

type dashboard struct {
	ID         *int              `json:"id"`
	UID        string            `json:"uid"`
	Title      string            `json:"title"`
	Inputs     []json.RawMessage `json:"__inputs"`
	Templating struct {
		List []struct {
			Name, Type string
			Query      any
		}
	} `json:"templating"`
	Panels []panel `json:"panels"`
}

func loadDashboard(t testing.TB) dashboard {
	t.Helper()
	var d dashboard
	if err := json.Unmarshal(read(t, dashboardFile), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d dashboard) queries() []query {
	var out []query
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			out = append(out, query{p.Title, target.Expr})
		}
	}
	return out
}

// Promtool accepts the rules, and each alert fires and stays silent as alerts.yaml says.
func TestAlerts(t *testing.T) {
	promtool, err := testenv.Program("promtool")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	alerts := rules(t, filepath.Join(dir, "rules.yaml"))
	tests := read(t, "alerts.yaml")
	if err := os.WriteFile(filepath.Join(dir, "alerts.yaml"), tests, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"check", "rules", "rules.yaml"}, {"test", "rules", "alerts.yaml"}} {
		command := exec.Command(promtool, args...)
		command.Dir = dir
		if output, err := command.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, output)
		}
	}
	var cases struct {
		Tests []struct {
			Alerts []struct {
				Name     string            `json:"alertname"`
				Expected []json.RawMessage `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		} `json:"tests"`
	}
	if err := yaml.Unmarshal(tests, &cases); err != nil {
		t.Fatal(err)
	}
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, c := range cases.Tests {
		for _, a := range c.Alerts {
			fires[a.Name] = fires[a.Name] || len(a.Expected) > 0
			silent[a.Name] = silent[a.Name] || len(a.Expected) == 0
		}
	}
	page := string(read(t, root+"/docs/metrics.md"))
	for _, a := range alerts {
		if !fires[a.Alert] || !silent[a.Alert] {
			t.Errorf("alerts.yaml does not show of %s both when it fires and when not", a.Alert)
		}
		if !strings.Contains(page, "| `"+a.Alert+"` | "+a.Labels["severity"]+" |") {
			t.Errorf("docs/metrics.md does not name %s with its severity", a.Alert)
		}
		for _, key := range []string{"summary", "description", "runbook_url"} {
			if a.Annotations[key] == "" {
				t.Errorf("%s has no annotation %s", a.Alert, key)
			}
		}
	}
	for _, name := range regexp.MustCompile("(?m)^\\| `(Skott\\w+)`").FindAllStringSubmatch(page, -1) {
		if !slices.ContainsFunc(alerts, func(a rule) bool { return a.Alert == name[1] }) {
			t.Errorf("docs/metrics.md speaks of alert %s, which does not exist", name[1])
		}
	}
}

// Grafana loads the dashboard as it is: its data source is a variable, and nothing is left to fill in.
func TestDashboardLoadsWithoutEdits(t *testing.T) {
	d := loadDashboard(t)
	if d.ID != nil || d.UID == "" || d.Title == "" || len(d.Inputs) > 0 {
		t.Errorf("id %v, uid %q, title %q, %d inputs", d.ID, d.UID, d.Title, len(d.Inputs))
	}
	variables := []string{"__range", "__rate_interval"}
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
	}
	if l := d.Templating.List; len(l) == 0 || l[0].Name != "datasource" || l[0].Type != "datasource" || l[0].Query != "prometheus" {
		t.Error("the first variable is not the data source, which the others need")
	}
	for _, m := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(string(read(t, dashboardFile)), -1) {
		if !slices.Contains(variables, m[1]) && m[1] != "__all" {
			t.Errorf("there is no variable %q", m[1])
		}
	}
	ids := map[int]bool{}
	for i, p := range d.Panels {
		if ids[p.ID] || p.ID == 0 {
			t.Errorf("panel %q has the id %d of another", p.Title, p.ID)
		}
		ids[p.ID] = true
		if p.GridPos.X+p.GridPos.W > 24 || p.GridPos.W == 0 || p.GridPos.H == 0 {
			t.Errorf("panel %q lies outside of the grid", p.Title)
		}
		for _, o := range d.Panels[:i] {
			if p.GridPos.X < o.GridPos.X+o.GridPos.W && o.GridPos.X < p.GridPos.X+p.GridPos.W &&
				p.GridPos.Y < o.GridPos.Y+o.GridPos.H && o.GridPos.Y < p.GridPos.Y+p.GridPos.H {
				t.Errorf("panels %q and %q overlap", p.Title, o.Title)
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Datasource["uid"] != "${datasource}" || len(p.Targets) == 0 {
			t.Errorf("panel %q has %d queries, of data source %q", p.Title, len(p.Targets), p.Datasource["uid"])
		}
		for _, target := range p.Targets {
			if target.Datasource["uid"] != "${datasource}" {
				t.Errorf("a query of panel %q has data source %q", p.Title, target.Datasource["uid"])
			}
		}
	}
}

// Rules and dashboard ask for nothing that docs/metrics.md does not know; test/docs compares that with the code.
func TestQueriesNameMetricsThatExist(t *testing.T) {
	page := string(read(t, root+"/docs/metrics.md"))
	var all []string
	for _, r := range rules(t, filepath.Join(t.TempDir(), "rules.yaml")) {
		all = append(all, r.Expr)
	}
	for _, q := range loadDashboard(t).queries() {
		all = append(all, q.Expr)
	}
	for _, expr := range all {
		for _, name := range regexp.MustCompile(`skott_\w+`).FindAllString(expr, -1) {
			if !strings.Contains(page, "| `"+strings.TrimSuffix(name, "_bucket")+"` |") {
				t.Errorf("%q asks for %s, which docs/metrics.md does not know", expr, name)
			}
		}
	}
}
