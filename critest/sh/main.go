// Command sh is /bin/sh of the busybox image: busybox's own shell, but that a script of one word is run by that word's file. Debian's busybox
// runs its applets itself then, also where their files are masked.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"syscall"
)

const cannotRun = 126

var word = regexp.MustCompile(`^[a-z]+$`)

func main() {
	file, args := "/bin/ash", os.Args
	if len(os.Args) == 3 && os.Args[1] == "-c" && word.MatchString(os.Args[2]) {
		if found, err := exec.LookPath(os.Args[2]); err == nil {
			file, args = found, []string{os.Args[2]}
		} else if _, err := os.Stat("/bin/" + os.Args[2]); err == nil {
			fail(os.Args[2], syscall.EACCES)
		}
	}
	fail(file, syscall.Exec(file, args, os.Environ()))
}

func fail(what string, err error) {
	var errno syscall.Errno
	if errors.As(err, &errno) && errno == syscall.EACCES {
		fmt.Fprintf(os.Stderr, "%s: %s: Permission denied\n", os.Args[0], what)
	} else {
		fmt.Fprintf(os.Stderr, "%s: %s: %v\n", os.Args[0], what, err)
	}
	os.Exit(cannotRun)
}
