// SPDX-License-Identifier: Apache-2.0

package testenv

import "context"

// Follower is what follows the audit log of one API server, run as a process beside it.
type Follower struct{ process *process }

// NewFollower builds the manager from the working tree and prepares to run it as a follower. name tells processes apart.
func (e *Env) NewFollower(ctx context.Context, name string, flags ...string) (*Follower, error) {
	binary, err := e.buildManager(ctx)
	if err != nil {
		return nil, err
	}
	return &Follower{e.newProcess(name, binary, append([]string{"audit"}, flags...)...)}, nil
}

// Start runs a stopped follower.
func (f *Follower) Start() error { return f.process.start() }

// Stop kills the follower, as a crash would.
func (f *Follower) Stop() error { return f.process.stop() }

// LogFile holds everything that the follower printed.
func (f *Follower) LogFile() string { return f.process.logFile }
