// Command sh is /bin/sh of the busybox image: busybox's own shell, whose words specs expect, or bash when the environment
// has names that are no identifiers, which Debian's busybox drops and specs print.
package main

import (
	"fmt"
	"os"
	"regexp"
	"syscall"
)

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)

func main() {
	shell := "/bin/ash"
	for _, variable := range os.Environ() {
		if !identifier.MatchString(variable) {
			shell = "/bin/bash"
		}
	}
	if err := syscall.Exec(shell, os.Args, os.Environ()); err != nil {
		fmt.Fprintln(os.Stderr, shell, err)
		os.Exit(127)
	}
}
