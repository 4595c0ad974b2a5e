package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/proxy/client"
)

func (a *app) clusterGroup() *cobra.Command {
	c := &cobra.Command{Use: "cluster", Short: "Take nodes out of the cluster and bring them back, or go on without them", RunE: group}
	nodes := &cobra.Command{Use: "add-remove-nodes", Short: "Take nodes out of the cluster and bring them back", RunE: group}
	nodes.AddCommand(a.startMaintenance(), a.stopMaintenance(), a.shutdownNodes(), a.decommission())
	c.AddCommand(nodes, a.clusterRecover())
	return c
}

// leave is what the commands that take nodes away have in common.
type leave struct {
	msg  api.NodesMsg
	wait bool
	done func(api.Smap, string) bool // whether a node is where it is to be
}

func (a *app) away(cmd *cobra.Command, l *leave) *cobra.Command {
	cmd.Flags().BoolVar(&l.msg.Force, "force", false, "do it although something could not be read or written, or would be lost; says what")
	cmd.Flags().BoolVar(&l.wait, "wait", false, "return when it is done")
	return cmd
}

func (a *app) startMaintenance() *cobra.Command {
	l := &leave{}
	var move bool
	cmd := a.command("start-maintenance NODE_ID...", "Let nodes go for a while: others serve what they serve", 1, -1,
		func(ctx context.Context, c *client.Client, args []string) error {
			l.msg.SkipRebalance = !move
			l.done = func(s api.Smap, id string) bool {
				n := s.Targets[id]
				return n.Slots == n.Sole && (!move || n.Held == 0)
			}
			if err := a.takeAway(ctx, c, api.ActionStartMaintenance, l, args); err != nil {
				return err
			}
			a.printf("Maintenance of %s has begun. To end it: aisle cluster add-remove-nodes stop-maintenance %s\n", strings.Join(args, ", "), strings.Join(args, " "))
			return nil
		})
	cmd.Long = `Let nodes go for a while, to be started again, updated or repaired. Targets that have the same objects in sync take over at once what the nodes own. The nodes
keep their data; nobody copies it meanwhile, except as far as the min_copies of buckets ask for it, and what they miss they fetch when maintenance ends. Refused when
something could not be read or written meanwhile.`
	cmd.Flags().BoolVar(&move, "rebalance", false, "move everything that the nodes hold to others")
	return a.away(cmd, l)
}

func (a *app) stopMaintenance() *cobra.Command {
	return a.command("stop-maintenance NODE_ID...", "Let nodes take part again, also those that are being decommissioned", 1, -1,
		func(ctx context.Context, c *client.Client, args []string) error {
			if _, err := c.SetModes(ctx, api.ActionStopMaintenance, api.NodesMsg{Nodes: args}); err != nil {
				return err
			}
			a.printf("%s: active again. What the nodes missed: aisle show rebalance\n", strings.Join(args, ", "))
			return nil
		})
}

func (a *app) shutdownNodes() *cobra.Command {
	l := &leave{done: func(s api.Smap, id string) bool { return s.Targets[id].Slots == s.Targets[id].Sole }}
	cmd := a.command("shutdown NODE_ID...", "End the processes of nodes, which take part again when they are started", 1, -1,
		func(ctx context.Context, c *client.Client, args []string) error {
			if err := a.confirm(fmt.Sprintf("The processes of %s end. Continue?", strings.Join(args, ", "))); err != nil {
				return err
			}
			if err := a.takeAway(ctx, c, api.ActionShutdownNode, l, args); err != nil {
				return err
			}
			a.printf("%s: shutting down.\n", strings.Join(args, ", "))
			return nil
		})
	a.away(cmd, l)
	cmd.Flags().BoolVarP(&a.yes, "yes", "y", false, "do not ask")
	return cmd
}

func (a *app) decommission() *cobra.Command {
	l := &leave{done: func(s api.Smap, id string) bool {
		_, target := s.Targets[id]
		_, proxy := s.Proxies[id]
		return !target && !proxy
	}}
	cmd := a.command("decommission NODE_ID...", "Move everything off nodes, and remove them for ever", 1, -1,
		func(ctx context.Context, c *client.Client, args []string) error {
			if err := a.confirm(fmt.Sprintf("What %s hold moves to others; then they are removed for ever. Continue?", strings.Join(args, ", "))); err != nil {
				return err
			}
			if err := a.takeAway(ctx, c, api.ActionDecommissionNode, l, args); err != nil {
				return err
			}
			if l.wait {
				a.printf("%s: removed.\n", strings.Join(args, ", "))
			} else {
				a.printf("%s: removed as soon as everything is moved. To follow it: aisle show rebalance, aisle show cluster\n", strings.Join(args, ", "))
			}
			return nil
		})
	a.away(cmd, l)
	cmd.Flags().BoolVarP(&a.yes, "yes", "y", false, "do not ask")
	return cmd
}

// takeAway carries a command out, tells what it costs, and waits if that is wanted.
func (a *app) takeAway(ctx context.Context, c *client.Client, action string, l *leave, nodes []string) error {
	l.msg.Nodes = nodes
	costs, err := c.SetModes(ctx, action, l.msg)
	if err != nil {
		return err
	}
	for _, cost := range costs {
		a.printf("Warning: %s.\n", cost)
	}
	for l.wait {
		smap, err := c.Smap(ctx)
		left := false
		for _, id := range nodes {
			left = left || err != nil || !l.done(smap, id)
		}
		if !left {
			return nil
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
