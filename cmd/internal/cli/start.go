package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/config"
	"github.com/aisle-store/aisle/proxy/client"
)

// start begins a job by its kind.
func (a *app) start() *cobra.Command {
	c := &cobra.Command{Use: "start", Short: "Begin a job now", RunE: group}
	c.AddCommand(a.startLifecycle("lifecycle"), a.startMirror("mirror"))
	return c
}

func (a *app) startMirror(verb string) *cobra.Command {
	copies := 2
	cmd := a.command(verb+" BUCKET", "Keep each object of a bucket on several mountpaths of its target", 1, 1,
		func(ctx context.Context, c *client.Client, args []string) error {
			b, err := parseBucket(args[0])
			if err != nil {
				return err
			}
			if err := c.SetBucketProps(ctx, b, map[string]string{config.BucketMirror.Name: strconv.Itoa(copies)}); err != nil {
				return err
			}
			a.printf("Objects of %s are kept on %d mountpath%s of their target. To follow it: aisle show job convert\n", b, copies, plural(copies))
			return nil
		})
	cmd.Long = `Keep each object of a bucket on several mountpaths of its target.

It sets the property mirror.copies. The objects that are there are moved in the background, while they are used.`
	cmd.Flags().IntVar(&copies, "copies", copies, "on how many mountpaths of a target; 1 ends it")
	return cmd
}

func (a *app) startLifecycle(verb string) *cobra.Command {
	var nodes []string
	cmd := a.command(verb, "Remove what has expired by the lifecycle rules of buckets, now", 0, 0,
		func(ctx context.Context, c *client.Client, _ []string) error {
			ids, err := targetsNamed(ctx, c, nodes)
			if err != nil {
				return err
			}
			for _, id := range ids {
				if err := c.StartLifecycle(ctx, cluster.NodeID(id)); err != nil {
					return fmt.Errorf("node %s: %w", id, err)
				}
			}
			a.printf("%d targets look for what has expired. To follow it: aisle show job lifecycle\n", len(ids))
			return nil
		})
	cmd.Long = `Remove what has expired by the lifecycle rules of buckets, now.

Targets do so by themselves: once in each day, which begins at midnight UTC, and when rules have changed.`
	cmd.Flags().StringArrayVar(&nodes, "node", nil, "only this node; may be repeated")
	return cmd
}
