package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/proxy/client"
)

func (a *app) authGroup() *cobra.Command {
	c := &cobra.Command{Use: "auth", Short: "Show and change users, groups, policies, access keys, roles and issuers of web identities, and show what was denied", RunE: group}
	sub := func(use, short string, commands ...*cobra.Command) {
		g := &cobra.Command{Use: use, Short: short, RunE: group}
		g.AddCommand(commands...)
		c.AddCommand(g)
	}
	sub("add", "Add a user, group, policy, key, role or provider", a.authUser("add"), a.authUserGroup("add"), a.authPolicy("add"), a.authAddKey(),
		a.authAddRole(), a.authProvider("add"))
	sub("set", "Change a user, group, policy, key, role or provider", a.authUser("set"), a.authUserGroup("set"), a.authPolicy("set"), a.authSetKey(),
		a.authSetRole(), a.authProvider("set"))
	sub("rm", "Remove a user with its keys, a group, a policy, a key, a role or a provider", a.authRemove(api.IdentityUser), a.authRemove(api.IdentityGroup),
		a.authRemove(api.IdentityPolicy), a.authRemove(api.IdentityKey), a.authRemove(api.IdentityRole), a.authRemove(api.IdentityProvider))
	sub("show", "Show users, groups, policies, keys, roles or providers, or what was denied", a.authShow(api.IdentityUser), a.authShow(api.IdentityGroup),
		a.authShow(api.IdentityPolicy), a.authShow(api.IdentityKey), a.authShow(api.IdentityRole), a.authShow(api.IdentityProvider), a.authDenials())
	return c
}

// identityActions are what the verbs of the command are in the native API.
var identityActions = map[string]string{"add": api.ActionAddIdentity, "set": api.ActionSetIdentity, "rm": api.ActionRemoveIdentity}

// given returns a pointer to a list that a flag was given for, or nil.
func given(cmd *cobra.Command, flag string, list []string) *[]string {
	if !cmd.Flags().Changed(flag) {
		return nil
	}
	list = slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == "" })
	return &list
}

func (a *app) authUser(verb string) *cobra.Command {
	var policies, groups []string
	var key, secret string
	var cmd *cobra.Command
	short := map[string]string{
		"add": "Add a user with an access key, which is made unless it is given",
		"set": "Set the policies or groups of a user: those that are named, and no others",
	}[verb]
	cmd = a.command("user NAME", short, 1, 1, func(ctx context.Context, c *client.Client, args []string) error {
		done, err := c.ChangeIdentity(ctx, identityActions[verb], api.IdentityMsg{
			Kind: api.IdentityUser, Name: args[0], AccessKey: key, SecretKey: secret,
			Policies: given(cmd, "policy", policies), Groups: given(cmd, "group", groups),
		})
		if err != nil {
			return err
		}
		if verb == "set" {
			a.printf("user %q changed\n", done.Name)
			return nil
		}
		a.printf("user %q added\naccess key: %s\n", done.Name, strings.Join(done.Keys, ", "))
		if secret == "" {
			a.printf("secret key: %s\n", done.SecretKey)
		}
		return nil
	})
	if verb == "add" {
		cmd.Flags().StringVar(&key, "access-key", "", "the user's access key")
		cmd.Flags().StringVar(&secret, "secret-key", "", "its secret")
	}
	cmd.Flags().StringSliceVar(&policies, "policy", nil, "policies of the user, by name or ARN; may be repeated")
	cmd.Flags().StringSliceVar(&groups, "group", nil, "groups of the user; may be repeated")
	return cmd
}

func (a *app) authUserGroup(verb string) *cobra.Command {
	var policies, users []string
	var cmd *cobra.Command
	short := map[string]string{
		"add": "Add a group", "set": "Set the policies or users of a group: those that are named, and no others",
	}[verb]
	cmd = a.command("group NAME", short, 1, 1, func(ctx context.Context, c *client.Client, args []string) error {
		done, err := c.ChangeIdentity(ctx, identityActions[verb], api.IdentityMsg{
			Kind: api.IdentityGroup, Name: args[0], Policies: given(cmd, "policy", policies), Users: given(cmd, "user", users),
		})
		if err != nil {
			return err
		}
		a.printf("group %q %s\n", done.Name, map[string]string{"add": "added", "set": "changed"}[verb])
		return nil
	})
	cmd.Flags().StringSliceVar(&policies, "policy", nil, "policies of the group, by name or ARN; may be repeated")
	cmd.Flags().StringSliceVar(&users, "user", nil, "users of the group; may be repeated")
	return cmd
}

func (a *app) authPolicy(verb string) *cobra.Command {
	short := map[string]string{"add": "Add a policy: a document of IAM", "set": "Replace the document of a policy"}[verb]
	return a.command("policy NAME FILE", short+"; - is standard input", 2, 2, func(ctx context.Context, c *client.Client, args []string) error {
		document, err := a.readDocument(args[1])
		if err != nil {
			return err
		}
		done, err := c.ChangeIdentity(ctx, identityActions[verb], api.IdentityMsg{Kind: api.IdentityPolicy, Name: args[0], Document: document})
		if err != nil {
			return err
		}
		a.printf("policy %q %s\n", done.Name, map[string]string{"add": "added", "set": "changed"}[verb])
		return nil
	})
}

func (a *app) readDocument(path string) (string, error) {
	var text []byte
	var err error
	if path == "-" {
		text, err = io.ReadAll(io.LimitReader(a.In, api.MaxBody))
	} else {
		text, err = os.ReadFile(path)
	}
	return string(text), err
}

func (a *app) authAddKey() *cobra.Command {
	var key, secret, redirect string
	cmd := a.command("key USER", "Add an access key to a user; it is made unless it is given", 1, 1, func(ctx context.Context, c *client.Client, args []string) error {
		done, err := c.ChangeIdentity(ctx, api.ActionAddIdentity, api.IdentityMsg{
			Kind: api.IdentityKey, Name: key, User: args[0], SecretKey: secret, Redirect: &redirect,
		})
		if err != nil {
			return err
		}
		a.printf("access key: %s\n", done.Name)
		if secret == "" {
			a.printf("secret key: %s\n", done.SecretKey)
		}
		return nil
	})
	cmd.Flags().StringVar(&key, "access-key", "", "the access key")
	cmd.Flags().StringVar(&secret, "secret-key", "", "its secret")
	cmd.Flags().StringVar(&redirect, "redirect", "", "whether its requests are sent to the owners of objects: auto, always, never")
	return cmd
}

func (a *app) authSetKey() *cobra.Command {
	var active bool
	var redirect string
	var cmd *cobra.Command
	cmd = a.command("key ACCESS_KEY", "Make a key inactive or active, or change its redirects", 1, 1, func(ctx context.Context, c *client.Client, args []string) error {
		msg := api.IdentityMsg{Kind: api.IdentityKey, Name: args[0]}
		if cmd.Flags().Changed("active") {
			msg.Active = &active
		}
		if cmd.Flags().Changed("redirect") {
			msg.Redirect = &redirect
		}
		done, err := c.ChangeIdentity(ctx, api.ActionSetIdentity, msg)
		if err == nil {
			a.printf("key %q changed\n", done.Name)
		}
		return err
	})
	cmd.Flags().BoolVar(&active, "active", true, "whether the key is taken")
	cmd.Flags().StringVar(&redirect, "redirect", "", "whether its requests are sent to the owners of objects: auto, always, never, or \"\" when it does not matter")
	return cmd
}

func (a *app) authRemove(kind string) *cobra.Command {
	use := map[string]string{api.IdentityKey: "key ACCESS_KEY...", api.IdentityProvider: "provider URL..."}[kind]
	if use == "" {
		use = kind + " NAME..."
	}
	return a.command(use, "Remove "+kind+"s", 1, -1, func(ctx context.Context, c *client.Client, args []string) error {
		for _, name := range args {
			if _, err := c.ChangeIdentity(ctx, api.ActionRemoveIdentity, api.IdentityMsg{Kind: kind, Name: name}); err != nil {
				return err
			}
			a.printf("%s %q removed\n", kind, name)
		}
		return nil
	})
}

func (a *app) authShow(kind string) *cobra.Command {
	return a.tabular(a.command(kind+" [NAME]", "Show all, or one with its details", 0, 1, func(ctx context.Context, c *client.Client, args []string) error {
		name := ""
		if len(args) > 0 {
			name = args[0]
		}
		list, err := c.Identities(ctx, kind, name)
		switch {
		case err != nil:
			return err
		case a.json:
			return a.printJSON(list)
		case kind == api.IdentityPolicy && name != "":
			a.printf("%s\n", list[0].Document)
			return nil
		}
		if err := a.printIdentities(kind, list); err != nil {
			return err
		}
		if kind == api.IdentityRole && name != "" {
			a.printf("\nIts trust policy:\n%s\n", list[0].Document)
		}
		return nil
	}))
}

func (a *app) printIdentities(kind string, list []api.Identity) error {
	policies := func(i api.Identity) string {
		var names []string
		for _, arn := range i.Policies {
			names = append(names, arn[strings.LastIndexByte(arn, '/')+1:])
		}
		for _, name := range slices.Sorted(maps.Keys(i.Inline)) {
			names = append(names, name+" (inline)")
		}
		return strings.Join(names, ", ")
	}
	var t *table
	switch kind {
	case api.IdentityUser:
		t = a.table("USER", "POLICIES", "GROUPS", "KEYS", "CREATED")
		for _, i := range list {
			t.row(i.Name, policies(i), strings.Join(i.Groups, ", "), strings.Join(i.Keys, ", "), i.Created.Format("2006-01-02"))
		}
	case api.IdentityGroup:
		t = a.table("GROUP", "POLICIES", "USERS", "CREATED")
		for _, i := range list {
			t.row(i.Name, policies(i), strings.Join(i.Users, ", "), i.Created.Format("2006-01-02"))
		}
	case api.IdentityPolicy:
		t = a.table("POLICY", "ARN", "ABOUT")
		for _, i := range list {
			t.row(i.Name, i.ARN, i.Help)
		}
	case api.IdentityRole:
		t = a.table("ROLE", "ARN", "POLICIES", "SESSIONS LAST", "CREATED")
		for _, i := range list {
			t.row(i.Name, i.ARN, policies(i), (time.Duration(i.Seconds) * time.Second).String(), i.Created.Format("2006-01-02"))
		}
	case api.IdentityProvider:
		t = a.table("PROVIDER", "ARN", "CLIENTS", "THUMBPRINTS", "CREATED")
		for _, i := range list {
			t.row(i.Name, i.ARN, strings.Join(i.Clients, ", "), strings.Join(i.Thumbprints, ", "), i.Created.Format("2006-01-02"))
		}
	default:
		t = a.table("ACCESS KEY", "USER", "ACTIVE", "REDIRECT")
		for _, i := range list {
			t.row(i.Name, i.User, fmt.Sprint(i.Active), i.Redirect)
		}
	}
	return t.end()
}
