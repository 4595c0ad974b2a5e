package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aisle-store/aisle/proxy/client"
)

// Streams are a process's connections to its surroundings.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	Env      func(string) string
	Terminal bool   // whether Err is a terminal: progress is shown there
	Version  string // of this program; empty takes what the build recorded
}

// Run runs one command line and returns the exit code of the process.
func Run(ctx context.Context, args []string, s Streams) int {
	a := &app{Streams: s}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	err := root.ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintln(s.Err, "Error: "+describe(err))
	}
	return exitCode(ctx, err)
}

// app is one run of the program.
type app struct {
	Streams
	endpoint  string
	profile   string
	json      bool
	noHeaders bool
	noFooters bool
	units     string
	yes       bool
	progress  bool
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "aisle",
		Short:         "Aisle, a clustered object store: node, command line and load generator",
		Version:       a.version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs, // an unknown command comes to group
		RunE:          group,
	}
	root.SetVersionTemplate(a.versionLine())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{fmt.Sprintf("%v; see %s --help", err, cmd.CommandPath())}
	})
	root.AddGroup(&cobra.Group{ID: "objects", Title: "Buckets and objects:"}, &cobra.Group{ID: "cluster", Title: "Cluster:"},
		&cobra.Group{ID: "server", Title: "Servers and load:"})
	in := func(id string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = id
			root.AddCommand(c)
		}
	}
	in("objects", a.create("create"), a.ls("ls"), a.put("put"), a.get("get"), a.cat("cat"), a.cp("cp"), a.rmo("rmo"), a.rmb("rmb"),
		a.bucketGroup(), a.objectGroup())
	in("cluster", a.show(), a.clusterGroup(), a.config(), a.jobGroup(), a.start(), a.scrub(), a.authGroup(), a.kmsGroup(), a.notifyGroup(), a.login())
	in("server", a.node(), a.dev(), a.storage(), a.bench())
	root.AddCommand(&cobra.Command{
		Use: "version", Short: "Print the version of this program", Args: cobra.NoArgs,
		Run: func(*cobra.Command, []string) { a.printf("%s", a.versionLine()) },
	})
	return root
}

// version returns what the linker was told, else what Go has recorded in the binary.
func (a *app) version() string {
	if a.Version != "" {
		return a.Version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

func (a *app) versionLine() string {
	return fmt.Sprintf("aisle version %s (%s %s/%s)\n", a.version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func (a *app) bucketGroup() *cobra.Command {
	c := &cobra.Command{Use: "bucket", Short: "Create, list, show and remove buckets", RunE: group}
	c.AddCommand(a.create("create"), a.ls("ls"), a.rmb("rm"), a.cp("cp"), a.bucketShow("show"), a.propsGroup())
	return c
}

func (a *app) objectGroup() *cobra.Command {
	c := &cobra.Command{Use: "object", Short: "Put, get, show and remove objects", RunE: group}
	c.AddCommand(a.put("put"), a.get("get"), a.cat("cat"), a.cp("cp"), a.rmo("rm"), a.ls("ls"), a.objectShow("show"))
	return c
}

func (a *app) propsGroup() *cobra.Command {
	c := &cobra.Command{Use: "props", Short: "Show and set properties of a bucket", RunE: group}
	c.AddCommand(a.bucketShow("show"), a.propsSet())
	return c
}

// group is the action of a command that only has subcommands.
func group(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	text := fmt.Sprintf("unknown command %q", strings.TrimSpace(cmd.CommandPath()+" "+args[0]))
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return &usageError{text + "; did you mean " + strings.Join(near, " or ") + "?"}
	}
	return &usageError{text + "; see " + cmd.CommandPath() + " --help"}
}

// action is what a command that talks to a cluster does.
type action func(ctx context.Context, c *client.Client, args []string) error

// command makes a command that talks to a cluster; the number of arguments is between low and high (-1: any number).
func (a *app) command(use, short string, low, high int, run action) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: arguments(low, high)}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.connect()
		if err != nil {
			return err
		}
		defer c.Close()
		return run(cmd.Context(), c, args)
	}
	cmd.Flags().StringVar(&a.endpoint, "endpoint", "", "URL of a node, instead of AISLE_ENDPOINT or the profile's")
	cmd.Flags().StringVar(&a.profile, "profile", "", "profile of `aisle login`, instead of AISLE_PROFILE or the last one")
	return cmd
}

// tabular adds the flags of commands that print tables.
func (a *app) tabular(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVarP(&a.json, "json", "j", false, "print JSON")
	cmd.Flags().BoolVarP(&a.noHeaders, "no-headers", "H", false, "leave out the headers of tables")
	cmd.Flags().StringVar(&a.units, "units", "iec", "units of sizes: iec (KiB), si (KB) or raw (bytes)")
	before := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if a.units != "iec" && a.units != "si" && a.units != "raw" {
			return &usageError{fmt.Sprintf("--units %q is not iec, si or raw", a.units)}
		}
		return before(cmd, args)
	}
	return cmd
}

func arguments(low, high int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < low:
			return &usageError{"too few arguments; use " + cmd.UseLine()}
		case high >= 0 && len(args) > high:
			return &usageError{fmt.Sprintf("too many arguments (%q); use %s", args[high], cmd.UseLine())}
		}
		return nil
	}
}

// usageError is a command line that makes no sense.
type usageError struct{ text string }

// Error returns what is wrong, and what to do.
func (e *usageError) Error() string { return e.text }

func isUsage(err error) bool {
	var u *usageError
	return errors.As(err, &u)
}
