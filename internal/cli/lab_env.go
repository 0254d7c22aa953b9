package cli

import (
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tidegate.io/tidegate/internal/lab"
)

func newLabEnv(s streams) *cobra.Command {
	var dir labFolder
	shell := "sh"
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Print the lines that point your shell at the lab",
		Long: `Print the lines that point your shell at the lab: its kubeconfig, its state folder, and, where you have no kubectl or no
Argo Rollouts plugin for it, the folder with those that the lab has built.`,
		Example: `  eval "$(tidegate lab env)"
  tidegate lab env --shell fish | source`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := lab.Open(string(dir))
			if err != nil {
				return err
			}
			return exportLab(s.out, shell, c)
		},
	}
	cmd.Flags().StringVar(&shell, "shell", shell, "sh (bash, zsh) or fish")
	_ = cmd.RegisterFlagCompletionFunc("shell", cobra.FixedCompletions([]string{"sh", "bash", "zsh", "fish"}, cobra.ShellCompDirectiveNoFileComp))
	dir.add(cmd)
	return cmd
}

// exportLab writes the variables that lead to the lab, in the words of a shell.
func exportLab(out io.Writer, shell string, c *lab.Client) error {
	line, path := "export %s=%s\n", "export PATH=\"$PATH\":%s\n"
	switch shell {
	case "sh", "bash", "zsh":
	case "fish":
		line, path = "set -gx %s %s\n", "set -gx PATH $PATH %s\n"
	default:
		return usagef("--shell %s: want sh, bash, zsh or fish", shell)
	}
	for _, v := range [][2]string{{"KUBECONFIG", c.Kubeconfig()}, {lab.Variable, c.Dir()}} {
		fmt.Fprintf(out, line, v[0], shellQuote(v[1]))
	}
	for _, dir := range missingTools(c) {
		fmt.Fprintf(out, path, shellQuote(dir))
	}
	return nil
}

// missingTools are the folders of kubectl and its plugin, as far as the user has none: the lab has built them anyway.
func missingTools(c *lab.Client) []string {
	var dirs []string
	for _, tool := range []string{c.Binaries().Kubectl, c.Binaries().KubectlArgo} {
		dir := filepath.Dir(tool)
		if _, err := exec.LookPath(filepath.Base(tool)); err != nil && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
