package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aisle-store/aisle/cluster/config"
	"github.com/aisle-store/aisle/cmd/internal/dev"
)

// devFlags are the flags of dev.
type devFlags struct {
	dev.Options
	detach bool
	node   int
	only   int // start only this node first; -1 is all
}

func (a *app) dev() *cobra.Command {
	var f devFlags
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a cluster of several nodes on this machine",
		Long: `Run a cluster of several nodes, each a process of its own, on this machine. Ctrl-C stops all of them. The data stay in the
directory, and so do the ports and the key: the next run of the same directory goes on with them.`,
		Args: arguments(0, 0),
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.runDev(cmd.Context(), f) }
	flags := cmd.Flags()
	cmd.PersistentFlags().StringVar(&f.Dir, "dir", ".aisle", "directory of the cluster")
	flags.IntVar(&f.Nodes, "nodes", 3, "nodes of a new cluster")
	flags.IntVar(&f.Mountpaths, "mountpaths", 2, "mountpaths of each target of a new cluster")
	flags.IntVar(&f.Port, "port", 8080, "first port of a new cluster; the others count up from it")
	flags.BoolVar(&f.RoleSplit, "role-split", false, "every node of a new cluster as two processes: a target and a proxy")
	flags.BoolVar(&f.detach, "detach", false, "return when the cluster serves, and let it run in the background")
	flags.IntVar(&f.only, "only", -1, "start only this node")
	_ = flags.MarkHidden("only") // for `dev start --node`
	for _, verb := range []struct{ name, short string }{
		{"start", "Start every node, or one, that does not run"},
		{"stop", "Stop every node, or one, gracefully"},
		{"kill", "Kill every node, or one (SIGKILL)"},
	} {
		sub := &cobra.Command{Use: verb.name, Short: verb.short, Args: arguments(0, 0)}
		sub.RunE = func(cmd *cobra.Command, _ []string) error { return a.tellDev(cmd.Context(), f, verb.name) }
		sub.Flags().IntVar(&f.node, "node", -1, "index of the node (-1: all)")
		cmd.AddCommand(sub)
	}
	add := &cobra.Command{Use: "add", Short: "Let one more node join", Args: arguments(0, 0)}
	add.RunE = func(cmd *cobra.Command, _ []string) error { return a.tellDev(cmd.Context(), f, "add") }
	cmd.AddCommand(add, a.devStatus(&f))
	return cmd
}

func (a *app) devStatus(f *devFlags) *cobra.Command {
	cmd := &cobra.Command{Use: "status", Short: "Show the nodes", Args: arguments(0, 0)}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := dev.Status(cmd.Context(), f.Dir)
		if err != nil {
			return err
		}
		if f.node >= 0 {
			c.Nodes = slices.DeleteFunc(c.Nodes, func(n dev.Node) bool { return n.Index != f.node })
		}
		if a.json {
			return a.printJSON(c)
		}
		return a.printNodes(c)
	}
	cmd.Flags().IntVar(&f.node, "node", -1, "index of the node (-1: all)")
	cmd.Flags().BoolVarP(&a.json, "json", "j", false, "print JSON, as in cluster.json")
	return cmd
}

// options completes what the flags say by the environment.
func (a *app) devOptions(f devFlags) (dev.Options, error) {
	o := f.Options
	binary, err := os.Executable()
	if err != nil {
		return o, err
	}
	o.Binary, o.Env = binary, nodeEnvironment(os.Environ())
	o.AccessKey, o.SecretKey = config.AccessKey.Get(a.lookup), config.SecretKey.Get(a.lookup)
	if (o.AccessKey == "") != (o.SecretKey == "") {
		return o, &usageError{"AISLE_ACCESS_KEY and AISLE_SECRET_KEY belong together"}
	}
	return o, nil
}

// nodeEnvironment leaves out what would change single nodes: all of them get their settings by flags.
func nodeEnvironment(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		if name == "AISLE_CONFIG" || name == dev.Detached {
			return true
		}
		return slices.ContainsFunc(config.Nodes(), func(s *config.Setting) bool { return s.Env() == name })
	})
}

func (a *app) runDev(ctx context.Context, f devFlags) error {
	if f.detach {
		return a.detachDev(ctx, f, -1)
	}
	detached := a.Env(dev.Detached) != ""
	if detached {
		dev.KeepReport()
	}
	err := a.superviseDev(ctx, f, detached)
	if err != nil && detached {
		dev.Report(err)
	}
	return err
}

// superviseDev runs a cluster until the context ends.
func (a *app) superviseDev(ctx context.Context, f devFlags, detached bool) (err error) {
	o, err := a.devOptions(f)
	if err != nil {
		return err
	}
	s, err := dev.Open(o, a.Err)
	if err != nil {
		return err
	}
	defer func() {
		if !detached && ctx.Err() != nil {
			a.printf("Stopping all nodes ...\n")
		}
		err = errors.Join(err, s.Close())
	}()
	began := time.Now()
	if err := s.Start(ctx, f.only); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	if detached {
		dev.Report(nil)
	} else if err := a.greet(s.Cluster(), f, time.Since(began)); err != nil {
		return err
	}
	return s.Supervise(ctx, detached)
}

// detachDev runs a supervisor in the background.
func (a *app) detachDev(ctx context.Context, f devFlags, only int) error {
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{"dev", "--dir", f.Dir, "--nodes", strconv.Itoa(f.Nodes), "--mountpaths", strconv.Itoa(f.Mountpaths),
		"--port", strconv.Itoa(f.Port), "--role-split=" + strconv.FormatBool(f.RoleSplit), "--only", strconv.Itoa(only)}
	began := time.Now()
	if err := dev.Detach(ctx, binary, args, f.Dir); err != nil {
		return err
	}
	c, err := dev.Status(ctx, f.Dir)
	if err != nil {
		return err
	}
	return a.greet(c, f, time.Since(began))
}

// tellDev has the supervisor of a directory do something. `start` where none runs makes one, in the background.
func (a *app) tellDev(ctx context.Context, f devFlags, what string) error {
	c, err := dev.Do(ctx, f.Dir, what, f.node)
	switch {
	case dev.NotRunning(err) && what == "start":
		return a.detachDev(ctx, f, f.node)
	case dev.NotRunning(err) && what == "add":
		return fmt.Errorf("no `aisle dev` is running in %s; start it with: aisle dev start --dir %s", f.Dir, f.Dir)
	case dev.NotRunning(err): // what shall be stopped does not run
		return nil
	case err != nil:
		return err
	}
	if what == "add" {
		if err := a.keepDevProfile(c); err != nil {
			return err
		}
	}
	return a.printNodes(c)
}

// greet says how to use the cluster.
func (a *app) greet(c dev.Cluster, f devFlags, took time.Duration) error {
	a.printf("The cluster serves after %s; data in %s.\n\n", formatDuration(took), f.Dir)
	if err := a.printNodes(c); err != nil {
		return err
	}
	if len(c.Endpoints) == 0 {
		return nil
	}
	a.printf("\n  export AISLE_ENDPOINT=%s AISLE_ACCESS_KEY=%s AISLE_SECRET_KEY=%s\n", c.Endpoints[0], c.AccessKey, c.SecretKey)
	a.printf("  export AWS_ENDPOINT_URL=%s AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s AWS_DEFAULT_REGION=us-east-1\n\n", c.Endpoints[0], c.AccessKey, c.SecretKey)
	if err := a.keepDevProfile(c); err != nil {
		return err
	}
	if !f.detach && a.Env(dev.Detached) == "" {
		a.printf("Ctrl-C stops all nodes.\n")
	}
	return nil
}

// devProfile is the client profile that `aisle dev` writes.
const devProfile = "dev"

// keepDevProfile writes the client profile, and makes it the current one unless the user logged in elsewhere.
func (a *app) keepDevProfile(c dev.Cluster) error {
	p := profile{Endpoints: c.Endpoints, AccessKey: c.AccessKey, SecretKey: c.SecretKey}
	inUse := false
	err := a.saveProfile(devProfile, p, func(current string) bool {
		inUse = current == "" || current == devProfile
		return inUse
	})
	switch {
	case err != nil:
		fmt.Fprintf(a.Err, "Warning: no client profile is written: %v\n", err)
	case inUse:
		a.printf("The commands of aisle use this cluster (profile %q).\n", devProfile)
	default:
		a.printf("The commands of aisle use another cluster; for this one: export AISLE_PROFILE=%s\n", devProfile)
	}
	return nil
}

func (a *app) printNodes(c dev.Cluster) error {
	t := a.table("NODE", "ID", "ROLE", "ENDPOINT", "PID", "LOG")
	for _, n := range c.Nodes {
		pid := ""
		if n.PID != 0 {
			pid = strconv.Itoa(n.PID)
		}
		t.row(strconv.Itoa(n.Index), string(n.ID), n.Role, n.Endpoint, pid, n.Log)
	}
	return t.end()
}
