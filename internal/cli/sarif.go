// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"net/url"
	"path/filepath"
	"slices"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/policy"
)

// The part of SARIF 2.1.0 (OASIS) that is written here.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool        sarifTool         `json:"tool"`
		Invocations []sarifInvocation `json:"invocations"`
		Results     []sarifResult     `json:"results"`
		ColumnKind  string            `json:"columnKind"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		Version        string      `json:"version"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID               string    `json:"id"`
		ShortDescription sarifText `json:"shortDescription"`
		FullDescription  sarifText `json:"fullDescription"`
		Help             sarifText `json:"help"`
		HelpURI          string    `json:"helpUri"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifInvocation struct {
		ExecutionSuccessful bool                `json:"executionSuccessful"`
		Notifications       []sarifNotification `json:"toolExecutionNotifications,omitempty"`
	}
	sarifNotification struct {
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		RuleIndex int             `json:"ruleIndex"`
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations"`
	}
	sarifLocation struct {
		Physical sarifPhysical  `json:"physicalLocation"`
		Logical  []sarifLogical `json:"logicalLocations,omitempty"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine int `json:"startLine"`
	}
	sarifLogical struct {
		FullyQualifiedName string `json:"fullyQualifiedName"`
		Kind               string `json:"kind"`
	}
)

// levels of SARIF by action.
var levels = map[skottv1.Action]string{skottv1.ActionDeny: "error", skottv1.ActionWarn: "warning", skottv1.ActionAudit: "note"}

// sarif is the result for code scanning.
func (r *result) sarif() sarifLog {
	run := sarifRun{
		Tool:        sarifTool{Driver: sarifDriver{Name: "kubectl-skott", Version: version(), InformationURI: policy.Documentation, Rules: []sarifRule{}}},
		Invocations: []sarifInvocation{{ExecutionSuccessful: len(r.Errors) == 0}}, Results: []sarifResult{}, ColumnKind: "utf16CodeUnits",
	}
	var codes []policy.Code
	for _, f := range r.Findings {
		codes = append(codes, f.Code)
	}
	slices.Sort(codes)
	codes = slices.Compact(codes)
	for _, c := range codes {
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, rule(c))
	}
	for _, f := range r.Findings {
		location := sarifAt(f.File, f.Line)
		name := f.Kind + " " + f.fullName()
		location.Logical = []sarifLogical{{FullyQualifiedName: name, Kind: "object"}}
		if f.Field != "" {
			location.Logical[0] = sarifLogical{FullyQualifiedName: name + " " + f.Field, Kind: "property"}
		}
		run.Results = append(run.Results, sarifResult{
			RuleID: string(f.Code), RuleIndex: slices.Index(codes, f.Code), Level: levels[f.Action],
			Message: sarifText{Text: name + " " + f.Message}, Locations: []sarifLocation{location},
		})
	}
	for _, p := range r.Errors {
		run.Invocations[0].Notifications = append(run.Invocations[0].Notifications, sarifNotification{
			Level: "error", Message: sarifText{Text: p.Message}, Locations: []sarifLocation{sarifAt(p.File, p.Line)},
		})
	}
	return sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}}
}

func sarifAt(file string, line int) sarifLocation {
	uri := url.URL{Path: filepath.ToSlash(filepath.Clean(file))}
	return sarifLocation{Physical: sarifPhysical{Artifact: sarifArtifact{URI: uri.String()}, Region: sarifRegion{StartLine: max(1, line)}}}
}

// rule says of a code what its section of the documentation says.
func rule(c policy.Code) sarifRule {
	s := sectionOf(c)
	return sarifRule{
		ID: string(c), HelpURI: help(c), ShortDescription: sarifText{Text: s.way},
		FullDescription: sarifText{Text: s.first}, Help: sarifText{Text: "Instead: " + s.instead},
	}
}
