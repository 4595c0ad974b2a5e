package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/proxy/client"
)

func (a *app) notifyGroup() *cobra.Command {
	c := &cobra.Command{Use: "notify", Short: "Show where events of buckets go, and send or drop those that could not be sent", RunE: group}
	c.AddCommand(a.showNotify(), a.deadLetters(), a.sendDead(), a.dropDead())
	return c
}

func (a *app) showNotify() *cobra.Command {
	return a.tabular(a.command("show", "Show what each node has sent to each destination since it started", 0, 0,
		func(ctx context.Context, c *client.Client, _ []string) error {
			all, err := a.notifyOf(ctx, c)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(all)
			}
			t := a.table("NODE", "DESTINATION", "WAITING", "DEAD LETTERS", "SENT", "FAILED ATTEMPTS", "DROPPED")
			for _, n := range all {
				for _, d := range n.Destinations {
					t.row(n.Node, d.Name, fmt.Sprint(d.Waiting), fmt.Sprint(d.Dead), fmt.Sprint(d.Sent), fmt.Sprint(d.Failed), fmt.Sprint(d.Dropped))
				}
			}
			return t.end()
		}))
}

func (a *app) deadLetters() *cobra.Command {
	return a.tabular(a.command("dead-letters [DESTINATION]", "Show events that are not sent by themselves any more, the oldest first", 0, 1,
		func(ctx context.Context, c *client.Client, args []string) error {
			all, err := a.notifyOf(ctx, c)
			if err != nil {
				return err
			}
			letters := []api.DeadLetter{}
			more := 0
			for _, n := range all {
				letters, more = append(letters, n.DeadLetters...), more+n.More
			}
			letters = slices.DeleteFunc(letters, func(l api.DeadLetter) bool { return len(args) > 0 && l.Destination != args[0] })
			slices.SortStableFunc(letters, func(x, y api.DeadLetter) int { return x.Time.Compare(y.Time) })
			if a.json {
				return a.printJSON(letters)
			}
			t := a.table("TIME", "DESTINATION", "EVENT", "OBJECT", "VERSION", "WHY")
			for _, l := range letters {
				t.row(formatTime(l.Time), l.Destination, l.Event, name(l.Bucket+"/"+l.Key), l.Version, name(l.Why))
			}
			if err := t.end(); err != nil {
				return err
			}
			if more > 0 {
				a.printf("There are %d more; they are shown when some of these are gone.\n", more)
			}
			return nil
		}))
}

func (a *app) sendDead() *cobra.Command {
	return a.command("send [DESTINATION]", "Send the dead letters again, all or those for one destination", 0, 1,
		func(ctx context.Context, c *client.Client, args []string) error {
			return a.changeDead(ctx, c, api.ActionSendDead, "sent", args)
		})
}

func (a *app) dropDead() *cobra.Command {
	cmd := a.command("drop [DESTINATION]", "Drop the dead letters, all or those for one destination", 0, 1,
		func(ctx context.Context, c *client.Client, args []string) error {
			if err := a.confirm("Drop the dead letters? Nobody will be told of these events."); err != nil {
				return err
			}
			return a.changeDead(ctx, c, api.ActionDropDead, "dropped", args)
		})
	cmd.Flags().BoolVarP(&a.yes, "yes", "y", false, "do not ask")
	return cmd
}

// changeDead has every target do something with its dead letters, again and again as long as that gets anywhere.
func (a *app) changeDead(ctx context.Context, c *client.Client, action, verb string, args []string) error {
	destination := ""
	if len(args) > 0 {
		destination = args[0]
	}
	ids, err := targetsNamed(ctx, c, nil)
	if err != nil {
		return err
	}
	count, left := 0, 0
	var failed []error
	for _, id := range ids {
		for {
			done, err := c.ChangeDeadLetters(ctx, cluster.NodeID(id), action, destination)
			if err == nil && done.Error != "" {
				err = errors.New(done.Error)
			}
			count += done.Count
			if err != nil {
				failed = append(failed, fmt.Errorf("node %s: %w", id, err))
			}
			if err != nil || done.Left == 0 || done.Count == 0 {
				left += done.Left
				break
			}
		}
	}
	a.printf("%d dead letters were %s, %d are left.\n", count, verb, left)
	return errors.Join(failed...)
}

// notifyOf asks every target for its events; those that do not answer are told.
func (a *app) notifyOf(ctx context.Context, c *client.Client) ([]api.Notify, error) {
	ids, err := targetsNamed(ctx, c, nil)
	if err != nil {
		return nil, err
	}
	all := []api.Notify{}
	for _, got := range askNodes(ctx, 10*time.Second, ids, c.Notify) {
		switch {
		case got.err == nil:
			all = append(all, got.value)
		case !a.json:
			a.printf("Node %s does not answer: its events are not shown.\n", got.node)
		}
	}
	return all, nil
}
