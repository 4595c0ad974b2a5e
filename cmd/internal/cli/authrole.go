package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/proxy/client"
)

// sessionFlag declares how long the sessions of a role may last.
func sessionFlag(cmd *cobra.Command, session *time.Duration) {
	cmd.Flags().DurationVar(session, "session", 0, "how long its sessions may last: 1h to 12h; 1h when it is made")
}

// wholeSeconds returns what a flag says in seconds.
func wholeSeconds(flag string, d time.Duration) (int, error) {
	if d%time.Second != 0 || d < 0 {
		return 0, &usageError{fmt.Sprintf("--%s %s: not a number of seconds", flag, d)}
	}
	return int(d / time.Second), nil
}

func (a *app) authAddRole() *cobra.Command {
	var policies []string
	var session time.Duration
	var cmd *cobra.Command
	cmd = a.command("role NAME FILE", "Add a role, with its trust policy: a document that says who may become it; - is standard input", 2, 2, func(ctx context.Context, c *client.Client, args []string) error {
		document, err := a.readDocument(args[1])
		if err != nil {
			return err
		}
		seconds, err := wholeSeconds("session", session)
		if err != nil {
			return err
		}
		done, err := c.ChangeIdentity(ctx, api.ActionAddIdentity, api.IdentityMsg{
			Kind: api.IdentityRole, Name: args[0], Document: document, Seconds: seconds, Policies: given(cmd, "policy", policies),
		})
		if err == nil {
			a.printf("role %q added\nARN: %s\n", done.Name, done.ARN)
		}
		return err
	})
	cmd.Flags().StringSliceVar(&policies, "policy", nil, "policies of the role, by name or ARN; may be repeated")
	sessionFlag(cmd, &session)
	return cmd
}

func (a *app) authSetRole() *cobra.Command {
	var policies []string
	var trust string
	var session time.Duration
	var cmd *cobra.Command
	cmd = a.command("role NAME", "Set the trust policy of a role, its policies (those that are named, and no others), or how long its sessions last", 1, 1, func(ctx context.Context, c *client.Client, args []string) error {
		seconds, err := wholeSeconds("session", session)
		if err != nil {
			return err
		}
		msg := api.IdentityMsg{Kind: api.IdentityRole, Name: args[0], Seconds: seconds, Policies: given(cmd, "policy", policies)}
		if trust != "" {
			if msg.Document, err = a.readDocument(trust); err != nil {
				return err
			}
		}
		done, err := c.ChangeIdentity(ctx, api.ActionSetIdentity, msg)
		if err == nil {
			a.printf("role %q changed\n", done.Name)
		}
		return err
	})
	cmd.Flags().StringVar(&trust, "trust", "", "file with the document that says who may become it; - is standard input")
	cmd.Flags().StringSliceVar(&policies, "policy", nil, "policies of the role, by name or ARN; may be repeated")
	sessionFlag(cmd, &session)
	return cmd
}

func (a *app) authProvider(verb string) *cobra.Command {
	var clients, thumbprints []string
	var cmd *cobra.Command
	short := map[string]string{
		"add": "Trust an issuer of web identities (OpenID Connect), for the clients that are named",
		"set": "Set the clients or thumbprints of an issuer of web identities: those that are named, and no others",
	}[verb]
	cmd = a.command("provider URL", short, 1, 1, func(ctx context.Context, c *client.Client, args []string) error {
		done, err := c.ChangeIdentity(ctx, identityActions[verb], api.IdentityMsg{
			Kind: api.IdentityProvider, Name: args[0], Clients: given(cmd, "client", clients), Thumbprints: given(cmd, "thumbprint", thumbprints),
		})
		if err == nil {
			a.printf("provider %q %s\nARN: %s\n", done.Name, map[string]string{"add": "added", "set": "changed"}[verb], done.ARN)
		}
		return err
	})
	cmd.Flags().StringSliceVar(&clients, "client", nil, "a client (audience) that its tokens may be for; may be repeated")
	cmd.Flags().StringSliceVar(&thumbprints, "thumbprint", nil, "SHA-1 of a certificate that its TLS may have as root, in hexadecimal; may be repeated")
	return cmd
}
