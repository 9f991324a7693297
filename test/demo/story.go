// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

//go:embed story.yaml
var story string

// beat is one command of the story and the answer that is expected.
type beat struct {
	// Beat is the heading, on the first command of a group.
	Beat string `json:"beat,omitempty"`
	// Cluster whose API server is asked.
	Cluster string `json:"cluster"`
	// Why says in a few words what this shows.
	Why string `json:"why"`
	// Kubectl arguments; Object is given on standard input.
	Kubectl []string       `json:"kubectl,omitempty"`
	Object  map[string]any `json:"object,omitempty"`
	// Denied is the code that must refuse it; empty if it must be let through.
	Denied string `json:"denied,omitempty"`
	// Eventually repeats the command until it answers so, or ten seconds have passed.
	Eventually bool `json:"eventually,omitempty"`
	// Contains must occur in the answer.
	Contains string `json:"contains,omitempty"`
}

// tell sends every command of the story and compares the answers.
func (p *platform) tell(ctx context.Context) error {
	beats, err := readStory()
	if err != nil {
		return err
	}
	denied, permitted, wrong := 0, 0, 0
	for _, b := range beats {
		if b.Beat != "" {
			fmt.Printf("\n=== %s\n", b.Beat)
		}
		command, answer, problem := p.send(ctx, b)
		fmt.Printf("\n# %s\n[%s]$ %s\n%s\n", b.Why, b.Cluster, command, indent(answer))
		switch {
		case problem != "":
			wrong++
			fmt.Printf("    UNEXPECTED: %s\n", problem)
		case b.Denied != "":
			denied++
			fmt.Printf("    => refused, as expected (%s)\n", b.Denied)
		default:
			permitted++
			fmt.Println("    => permitted, as expected")
		}
	}
	fmt.Printf("\n%d refused, %d permitted, %d unexpected\n", denied, permitted, wrong)
	if wrong > 0 {
		return fmt.Errorf("%d answers were not the expected ones", wrong)
	}
	return nil
}

func readStory() ([]beat, error) {
	var out []beat
	for reader := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(story))); ; {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		var b beat
		if err := yaml.UnmarshalStrict(document, &b); err != nil {
			return nil, fmt.Errorf("story.yaml: %w", err)
		}
		if b.Cluster != "" {
			out = append(out, b)
		}
	}
}

// send runs a command and says what is wrong with its answer, if anything.
func (p *platform) send(ctx context.Context, b beat) (command, answer, problem string) {
	server := p.servers[b.Cluster]
	if server == nil {
		return "", "", fmt.Sprintf("no cluster %q", b.Cluster)
	}
	args, input := b.Kubectl, ""
	if b.Object != nil {
		content, err := yaml.Marshal(b.Object)
		if err != nil {
			return "", "", err.Error()
		}
		input = string(content)
		if len(args) == 0 {
			args = []string{"apply", "-f", "-"}
		}
	}
	command = "kubectl " + strings.Join(args, " ")
	if input != "" {
		command += " <<EOF\n" + indent(input) + "\n    EOF"
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		output, err := p.env.KubectlInput(ctx, server, input, args...)
		problem = b.judge(output, err)
		if problem == "" || !b.Eventually || time.Now().After(deadline) {
			return command, output, problem
		}
	}
}

// judge says what is wrong with an answer.
func (b beat) judge(output string, err error) string {
	switch {
	case b.Denied == "" && err != nil:
		return "it should have been permitted"
	case b.Denied != "" && err == nil:
		return "it should have been refused"
	case b.Denied != "" && !strings.Contains(output, b.Denied):
		return "it should have been refused with " + b.Denied
	case !strings.Contains(output, b.Contains):
		return fmt.Sprintf("the answer should contain %q", b.Contains)
	}
	return ""
}
