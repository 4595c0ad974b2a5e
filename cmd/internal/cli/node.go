package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/aisle-store/aisle/cluster/config"
	"github.com/aisle-store/aisle/cmd/internal/node"
)

func (a *app) node() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "node --dir DIRECTORY [--mountpath DIRECTORY...]",
		Short: "Run a node",
		Long: `Run a node of a cluster until it is told to stop (SIGTERM, SIGINT).

Without --join the first start makes a new cluster; with --join it joins one, for which it needs the cluster secret. docs/config.md
has every setting; each can also be given by its environment variable or in the file that --config names.`,
		Args: arguments(0, 0),
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		source, err := a.nodeSource(cmd.Flags(), file)
		if err != nil {
			return &usageError{err.Error()}
		}
		settings, err := config.LoadNode(source)
		if err != nil {
			return &usageError{err.Error()}
		}
		return node.Run(cmd.Context(), node.Options{Settings: settings, Version: a.version(), Out: a.Out, Log: a.Err})
	}
	cmd.Flags().StringVar(&file, "config", "", "file with settings (AISLE_CONFIG)")
	for _, s := range config.Nodes() {
		switch {
		case s.EnvOnly:
		case s.Repeat:
			cmd.Flags().StringArray(s.Name, nil, s.Help+" ("+s.Env()+")")
		default:
			cmd.Flags().String(s.Name, s.Default, s.Help+" ("+s.Env()+")")
		}
	}
	return cmd
}

// nodeSource collects where a node's settings come from.
func (a *app) nodeSource(flags *pflag.FlagSet, file string) (*config.Source, error) {
	source := &config.Source{Flags: make(map[string][]string), Env: a.Env}
	flags.Visit(func(f *pflag.Flag) {
		if list, ok := f.Value.(pflag.SliceValue); ok {
			source.Flags[f.Name] = list.GetSlice()
		} else {
			source.Flags[f.Name] = []string{f.Value.String()}
		}
	})
	if file == "" {
		file = a.Env("AISLE_CONFIG")
	}
	if file == "" {
		return source, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if source.File, err = config.ReadFile(f); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return source, nil
}
