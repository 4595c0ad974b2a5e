package cli

import (
	"bufio"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/cluster/config"
)

// loginFlags are the flags of login.
type loginFlags struct {
	profile   string
	accessKey string
	caFile    string
	token     bool
	expire    time.Duration
}

func (a *app) login() *cobra.Command {
	var f loginFlags
	cmd := &cobra.Command{Use: "login [URL[,URL...]]", Short: "Keep the address and key of a cluster in a profile", Args: arguments(0, 1)}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if f.token {
			return a.printToken(f)
		}
		return a.keepProfile(cmd.Context(), f, strings.Join(args, ""))
	}
	cmd.Flags().StringVar(&f.profile, "profile", "default", "name of the profile")
	cmd.Flags().StringVar(&f.accessKey, "access-key", "", "access key (default: AISLE_ACCESS_KEY, or asked for); the secret comes from AISLE_SECRET_KEY or standard input")
	cmd.Flags().StringVar(&f.caFile, "ca-file", "", "certificates (PEM) to trust besides the system's")
	cmd.Flags().BoolVar(&f.token, "token", false, "print a bearer token of the key in use, and keep nothing")
	cmd.Flags().DurationVar(&f.expire, "expire", 24*time.Hour, "how long the token is valid")
	return cmd
}

// keepProfile asks for what is missing, tries it on the cluster, and writes the profile.
func (a *app) keepProfile(ctx context.Context, f loginFlags, urls string) error {
	p, err := a.ask(f, urls)
	if err != nil {
		return err
	}
	c, err := a.open(p)
	if err != nil {
		return err
	}
	defer c.Close()
	smap, err := c.Smap(ctx)
	if err != nil {
		return err
	}
	if err := a.saveProfile(f.profile, p, func(string) bool { return true }); err != nil {
		return err
	}
	a.printf("Logged in to cluster %s at %s as %s (profile %q).\n", smap.UUID, c.Endpoint(), p.AccessKey, f.profile)
	return nil
}

// ask returns the profile that flags, environment and answers describe.
func (a *app) ask(f loginFlags, urls string) (profile, error) {
	answers := bufio.NewReader(a.In)
	p := profile{AccessKey: f.accessKey, CAFile: f.caFile}
	if urls == "" {
		urls = config.Endpoint.Get(a.lookup)
	}
	if err := a.fill(answers, "Endpoint URL: ", &urls); err != nil {
		return p, err
	}
	p.Endpoints = strings.Split(urls, ",")
	if p.CAFile == "" {
		p.CAFile = config.CAFile.Get(a.lookup)
	}
	if p.CAFile != "" {
		absolute, err := filepath.Abs(p.CAFile)
		if err != nil {
			return p, err
		}
		p.CAFile = absolute
	}
	if known := config.AccessKey.Get(a.lookup); p.AccessKey == "" || p.AccessKey == known {
		p.AccessKey, p.SecretKey = known, config.SecretKey.Get(a.lookup)
	}
	if err := a.fill(answers, "Access key: ", &p.AccessKey); err != nil {
		return p, err
	}
	return p, a.fill(answers, "Secret key: ", &p.SecretKey)
}

// fill asks for a value that is empty.
func (a *app) fill(answers *bufio.Reader, question string, value *string) error {
	if *value != "" {
		return nil
	}
	fmt.Fprint(a.Err, question)
	line, _ := answers.ReadString('\n')
	if *value = strings.TrimSpace(line); *value == "" {
		return &usageError{fmt.Sprintf("the %s is missing", strings.ToLower(strings.TrimSuffix(question, ": ")))}
	}
	return nil
}

// printToken prints a bearer token of the key pair in use.
func (a *app) printToken(f loginFlags) error {
	a.profile = f.profile
	if f.profile == "default" {
		a.profile = ""
	}
	p, err := a.target()
	if err != nil {
		return err
	}
	if p.AccessKey == "" || p.SecretKey == "" {
		return &usageError{"there is no key to make a token of; log in with: aisle login"}
	}
	a.printf("%s\n", api.NewToken(cluster.AccessKeyID(p.AccessKey), p.SecretKey, time.Now().Add(f.expire)))
	return nil
}
