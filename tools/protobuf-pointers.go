// Prints the fields of the Kubernetes API's Go types that are pointers: their zero is a value of its own.
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strings"
)

func main() {
	found := []string{}
	for _, root := range os.Args[1:] {
		_ = filepath.Walk(root, func(path string, info os.FileInfo, err error) error {
			base := filepath.Base(path)
			if err != nil || !strings.HasSuffix(base, ".go") || strings.HasPrefix(base, "generated") || strings.HasPrefix(base, "zz_") || strings.HasSuffix(base, "_test.go") {
				return nil
			}
			at := strings.Index(path, "k8s.io/")
			dir := filepath.Dir(path[at:])
			parts := strings.Split(dir, "/")
			module := strings.SplitN(parts[1], "@", 2)[0]
			name := "io.k8s." + strings.Join(append([]string{module}, parts[2:]...), ".")
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				spec, ok := n.(*ast.TypeSpec)
				if !ok {
					return true
				}
				st, ok := spec.Type.(*ast.StructType)
				if !ok {
					return false
				}
				for _, f := range st.Fields.List {
					if _, ok := f.Type.(*ast.StarExpr); !ok || f.Tag == nil {
						continue
					}
					json := strings.Split(reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("json"), ",")[0]
					if json != "" && json != "-" {
						found = append(found, name+"."+spec.Name.Name+"."+json)
					}
				}
				return false
			})
			return nil
		})
	}
	sort.Strings(found)
	fmt.Println(strings.Join(found, "\n"))
}
