package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/proxy/client"
)

func (a *app) authDenials() *cobra.Command {
	var limit int
	cmd := a.tabular(a.command("denials [TEXT]", "Show the requests that were denied last, and why: all, or those with TEXT in request id, key, principal, action or resource", 0, 1,
		func(ctx context.Context, c *client.Client, args []string) error {
			all, silent, err := denialsOf(ctx, c)
			if err != nil {
				return err
			}
			if len(args) > 0 {
				all = slices.DeleteFunc(all, func(d api.Denial) bool {
					return !slices.ContainsFunc([]string{d.Request, d.Identity, d.Principal, d.Action, d.Resource}, func(s string) bool { return strings.Contains(s, args[0]) })
				})
			}
			all = all[:min(len(all), max(0, limit))]
			if a.json {
				return a.printJSON(all)
			}
			for _, id := range silent {
				a.printf("Node %s does not answer: what it has denied is not shown.\n", id)
			}
			t := a.table("TIME", "NODE", "REQUEST", "WHO", "ACTION", "RESOURCE", "WHY")
			for _, d := range all {
				t.row(formatTime(d.Time), d.Node, name(d.Request), name(whoOf(d)), d.Action, name(d.Resource), name(d.Why))
			}
			return t.end()
		}))
	cmd.Flags().IntVar(&limit, "limit", 100, "how many, the newest first")
	return cmd
}

// whoOf names who asked: by ARN, or by key where the node did not know it.
func whoOf(d api.Denial) string {
	switch {
	case d.Principal != "":
		return d.Principal
	case d.Identity != "":
		return d.Identity
	}
	return "anonymous"
}

// denialsOf asks every node for what it has denied; the newest is first. silent are those that did not answer.
func denialsOf(ctx context.Context, c *client.Client) (all []api.Denial, silent []string, err error) {
	smap, err := c.Smap(ctx)
	if err != nil {
		return nil, nil, err
	}
	all = []api.Denial{}
	var refused error
	for _, got := range askNodes(ctx, 5*time.Second, nodeIDs(smap), c.Denials) {
		switch {
		case cluster.Is(got.err, cluster.KindDenied):
			refused = got.err
		case got.err != nil:
			silent = append(silent, got.node)
		}
		all = append(all, got.value...)
	}
	slices.SortStableFunc(all, func(x, y api.Denial) int { return y.Time.Compare(x.Time) })
	return all, silent, refused
}
