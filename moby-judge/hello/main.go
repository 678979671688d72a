// What `hello-world` is.
package main

import "fmt"

func main() { fmt.Println("\nHello from Docker!") }
