package cli

import (
	"github.com/spf13/cobra"

	"github.com/aisle-store/aisle/cmd/internal/node"
)

func (a *app) clusterRecover() *cobra.Command {
	o := node.RecoverOptions{}
	cmd := &cobra.Command{
		Use:   "recover --dir DIRECTORY [--dead NODE...] [--follow FILE]",
		Short: "Go on after a majority of the voters was lost for ever",
		Long: `Let a cluster go on after the majority of its voters was lost for ever. For a node that does not run; docs/operations.md has the procedure.

With --dir only it says how far the node's log goes. On the survivor whose log goes furthest, --dead names every node that never comes back: this node becomes
the only voter, the dead nodes lose their place for ever, and the cluster gets a new secret. On every other survivor, --follow takes the file that the first one
wrote.

What was acknowledged by dead nodes only is lost: the last changes of buckets, settings and keys, and objects of which only they had copies.`,
		Args: arguments(0, 0),
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case o.Dir == "":
			return &usageError{"--dir is needed: the state directory of a node that does not run"}
		case o.Follow != "" && len(o.Dead) > 0:
			return &usageError{"--dead is for the first survivor, --follow for the others"}
		}
		o.Out, o.Log, o.ClusterSecret = a.Out, a.Err, a.Env("AISLE_CLUSTER_SECRET")
		return node.Recover(cmd.Context(), o)
	}
	f := cmd.Flags()
	f.StringVar(&o.Dir, "dir", "", "state directory of the node")
	f.StringArrayVar(&o.Dead, "dead", nil, "id of a node that is lost for ever; may be repeated")
	f.StringVar(&o.Follow, "follow", "", "recovery.json of the survivor that was recovered")
	f.StringVar(&o.SecretFile, "cluster-secret-file", "", "the cluster secret of before, if it is not in --dir")
	f.BoolVar(&o.LoseData, "lose-data", false, "go on without the data that only dead nodes had")
	f.BoolVar(&o.Force, "force", false, "go on although nodes answer, or this node's log goes further than that of the one it follows")
	f.BoolVar(&o.DryRun, "dry-run", false, "say what would happen, and change nothing")
	return cmd
}
