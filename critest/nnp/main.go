// nnp says as whom it runs: installed with the set-user-ID bit, it shows whether privileges may be gained.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Printf("Effective uid: %d\n", os.Geteuid())
}
