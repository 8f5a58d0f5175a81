// What the cluster's own checks run inside pods: a static program, since a
// pod made without a registry has no shell and no C library. It serves one
// page, fetches one, and tells what it may do.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: probe serve FOLDER | get URL | write FILE | user -")
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func run(verb, argument string) error {
	switch verb {
	case "serve":
		return http.ListenAndServe(":8080", logged(http.FileServer(http.Dir(argument))))
	case "get":
		return get(argument)
	case "write":
		return os.WriteFile(argument, nil, 0o600)
	case "user":
		fmt.Println(os.Getuid())
		return nil
	}
	return fmt.Errorf("unknown verb %q", verb)
}

func logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		log.Printf("%s %s", r.Method, r.URL.Path)
		next.ServeHTTP(w, r)
	})
}

func get(url string) error {
	client := http.Client{Timeout: 5 * time.Second}
	answer, err := client.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(os.Stdout, answer.Body)
	return err
}
