package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aisle-store/aisle/proxy/client"
	"github.com/aisle-store/aisle/xact"
)

func (a *app) jobGroup() *cobra.Command {
	c := &cobra.Command{Use: "job", Short: "Show the jobs that nodes run, and begin them", RunE: group}
	c.AddCommand(a.showJob("show"), a.start())
	return c
}

func (a *app) showJob(verb string) *cobra.Command {
	var all bool
	cmd := a.tabular(a.command(verb+" [KIND | JOB_ID] [NODE_ID]", "Show jobs: "+kindNames(), 0, 2,
		func(ctx context.Context, c *client.Client, args []string) error {
			jobs, silent, err := jobsOf(ctx, c)
			if err != nil {
				return err
			}
			jobs = slices.DeleteFunc(jobs, func(j xact.Job) bool {
				named := len(args) > 0 && string(j.ID) == args[0]
				return !named && (len(args) > 0 && string(j.Kind) != args[0] || !all && j.State != xact.Running) || len(args) > 1 && string(j.Node) != args[1]
			})
			return a.printJobs(jobs, silent, "No job is running. To see those that have ended: --all\n")
		}))
	cmd.Flags().BoolVar(&all, "all", false, "also those that have ended")
	return cmd
}

func kindNames() string {
	var names []string
	for _, k := range xact.Kinds() {
		names = append(names, string(k.Kind))
	}
	return strings.Join(names, ", ")
}

func (a *app) showRebalance(verb string) *cobra.Command {
	var all bool
	cmd := a.tabular(a.command(verb, "Show what targets take over from others, and how long it will take", 0, 0,
		func(ctx context.Context, c *client.Client, _ []string) error {
			jobs, silent, err := jobsOf(ctx, c)
			if err != nil {
				return err
			}
			jobs = slices.DeleteFunc(jobs, func(j xact.Job) bool { return j.Kind != xact.Rebalance || !all && j.State != xact.Running })
			return a.printJobs(jobs, silent, "No rebalance is running. To see those that have ended: --all\n")
		}))
	cmd.Flags().BoolVar(&all, "all", false, "also those that have ended")
	return cmd
}

// jobsOf asks every node for its jobs. silent are those that did not answer.
func jobsOf(ctx context.Context, c *client.Client) (jobs []xact.Job, silent []string, err error) {
	smap, err := c.Smap(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, got := range askNodes(ctx, 3*time.Second, nodeIDs(smap), c.Jobs) {
		if got.err != nil {
			silent = append(silent, got.node)
		}
		jobs = append(jobs, got.value...)
	}
	slices.SortFunc(jobs, func(x, y xact.Job) int {
		return cmp.Or(cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.Node, y.Node), x.Started.Compare(y.Started))
	})
	return jobs, silent, nil
}

// printJobs prints jobs and a line with their sum; or a line that says that there is none.
func (a *app) printJobs(jobs []xact.Job, silent []string, none string) error {
	if a.json {
		if jobs == nil {
			jobs = []xact.Job{}
		}
		return a.printJSON(jobs)
	}
	for _, id := range silent {
		a.printf("Node %s does not answer: its jobs are not shown.\n", id)
	}
	if len(jobs) == 0 {
		a.printf("%s", none)
		return nil
	}
	t := a.table("NODE", "ID", "KIND", "SLOTS", "OBJECTS", "BYTES", "DONE", "RATE", "TIME LEFT", "START", "END", "STATE")
	var sum xact.Job
	for i := range jobs {
		j := &jobs[i]
		t.row(string(j.Node), string(j.ID), string(j.Kind), counted(j.Slots), counted(j.Objects), a.sized(j.Bytes), percentOf(j), a.rate(j), timeLeft(j),
			formatTime(j.Started), formatTime(j.Ended), stateOf(j))
		sum.Bytes.Done, sum.Objects.Done = sum.Bytes.Done+j.Bytes.Done, sum.Objects.Done+j.Objects.Done
		sum.Bytes.Total, sum.Objects.Total = sum.Bytes.Total+j.Bytes.Total, sum.Objects.Total+j.Objects.Total
		sum.Rate += j.Rate
	}
	if len(jobs) > 1 && !a.noFooters {
		t.row("Total", "", "", "", counted(sum.Objects), a.sized(sum.Bytes), "", a.rate(&sum), "", "", "", "")
	}
	return t.end()
}

func counted(p xact.Progress) string {
	switch {
	case p.Total > 0:
		return fmt.Sprintf("%d/%d", p.Done, max(p.Done, p.Total))
	case p.Done > 0:
		return fmt.Sprint(p.Done)
	}
	return ""
}

func (a *app) sized(p xact.Progress) string {
	switch {
	case p.Total > 0:
		return a.size(p.Done) + "/" + a.size(max(p.Done, p.Total))
	case p.Done > 0:
		return a.size(p.Done)
	}
	return ""
}

func percentOf(j *xact.Job) string {
	p, ok := j.Percent()
	if !ok {
		return ""
	}
	return fmt.Sprintf("%.0f%%", p)
}

func (a *app) rate(j *xact.Job) string {
	if j.Rate <= 0 {
		return ""
	}
	return a.size(int64(j.Rate)) + "/s"
}

func timeLeft(j *xact.Job) string {
	if j.State != xact.Running || j.Left < 0 {
		return ""
	}
	return j.Left.Round(time.Second).String()
}

func stateOf(j *xact.Job) string {
	state := string(j.State)
	if j.Err != "" {
		state += ": " + j.Err
	}
	return state
}
