// The etcd server, built from its own module so that no download of a
// prebuilt binary is needed. It adds nothing to etcd.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
