// One goroutine per connection: the code blocks, the runtime does not.
//
// How it waits: Read parks the goroutine when the socket is empty. The netpoller, an
// edge-triggered epoll set that the scheduler looks at when it runs out of work, readies it again.
//
// What it costs: per echo a read that succeeds, a write, and one more read that finds the socket
// empty, before the goroutine is parked; a goroutine's stack and buffer per connection.
//
// The trap: io.Copy would hand the socket to splice(2), which takes as much as a pipe holds and two
// descriptors more per connection. What is compared here reads 16 KiB at most.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

const (
	bufferBytes    = 16 * 1024
	backlogMax     = 65535
	backlogDefault = 4096
	// How long accepting rests when there is no descriptor left for the next connection.
	rest = 100 * time.Millisecond
)

// address is LISTEN as net.Listen takes it.
type address struct{ network, where string }

func parseListen(text string) (address, error) {
	listen, err := url.Parse(text)
	if err != nil {
		return address{}, err
	}
	if listen.Scheme == "unix" && listen.Host == "" && listen.Path != "" {
		return address{"unix", listen.Path}, nil
	}
	ip := net.ParseIP(listen.Hostname())
	port, err := strconv.ParseUint(listen.Port(), 10, 16)
	if listen.Scheme != "tcp" || ip == nil || err != nil || port == 0 {
		return address{}, errors.New("expected tcp://IPV4:PORT, tcp://[IPV6]:PORT or unix:///PATH")
	}
	if ip.To4() != nil {
		return address{"tcp4", listen.Host}, nil
	}
	return address{"tcp6", listen.Host}, nil
}

func parseBacklog(text string) (int, error) {
	backlog, err := strconv.Atoi(text)
	if err != nil || backlog < 1 || backlog > backlogMax {
		return 0, fmt.Errorf("expected a number from 1 to %d", backlogMax)
	}
	return backlog, nil
}

func listen(at address, backlog int) (net.Listener, error) {
	// Without keep-alive an accepted socket is set one option, TCP_NODELAY, instead of four.
	config := net.ListenConfig{KeepAlive: -1}
	listener, err := config.Listen(context.Background(), at.network, at.where)
	if err != nil {
		return nil, err
	}
	// net asks for a queue of net.core.somaxconn; to listen again changes only that.
	raw, err := listener.(syscall.Conn).SyscallConn()
	if err == nil {
		refused := raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), backlog) })
		if err == nil {
			err = refused
		}
	}
	return listener, err
}

func serve(listener net.Listener) error {
	for {
		connection, err := listener.Accept()
		var errno syscall.Errno
		switch {
		case err == nil:
			go echo(connection)
		case errors.Is(err, net.ErrClosed):
			return nil
		case errors.As(err, &errno):
			// A lack of descriptors or memory: the connection stays queued meanwhile.
			time.Sleep(rest)
		default:
			return err
		}
	}
}

// echo ends with the first error of either side: the peer's end, a reset, a write to nobody.
func echo(connection net.Conn) {
	defer connection.Close()
	buffer := make([]byte, bufferBytes)
	for {
		received, err := connection.Read(buffer)
		if err != nil {
			return
		}
		if _, err := connection.Write(buffer[:received]); err != nil {
			return
		}
	}
}

func environment(name, otherwise string) string {
	if value, isSet := os.LookupEnv(name); isSet {
		return value
	}
	return otherwise
}

func run() (exitCode int, err error) {
	text := environment("LISTEN", "tcp://0.0.0.0:7000")
	at, err := parseListen(text)
	if err != nil {
		return 2, fmt.Errorf("LISTEN='%s': %w", text, err)
	}
	text = environment("BACKLOG", strconv.Itoa(backlogDefault))
	backlog, err := parseBacklog(text)
	if err != nil {
		return 2, fmt.Errorf("BACKLOG='%s': %w", text, err)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	listener, err := listen(at, backlog)
	if err != nil {
		return 1, err
	}
	go func() {
		<-signals
		listener.Close() // a socket's file goes with it
	}()
	return 1, serve(listener)
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println(runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH)
		return
	}
	// The runtime raises the limit of open files, and GOMAXPROCS follows the CPU affinity.
	if exitCode, err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "go-netpoll:", err)
		os.Exit(exitCode)
	}
}
