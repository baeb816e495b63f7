//go:build ignore

// Echoes each frame: four bytes of length, big-endian, and the payload. Prints its port.
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
)

// No frame is longer: a stray `GET ` would be one of a gigabyte.
const maxFrame = 1 << 20

func echo(conn net.Conn) error {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for {
		head := make([]byte, 4)
		if _, err := io.ReadFull(reader, head); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		length := binary.BigEndian.Uint32(head)
		if length > maxFrame {
			return fmt.Errorf("a frame of %d bytes", length)
		}
		frame := append(head, make([]byte, length)...)
		if _, err := io.ReadFull(reader, frame[4:]); err != nil {
			return err
		}
		if _, err := conn.Write(frame); err != nil {
			return err
		}
	}
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			if err := echo(conn); err != nil {
				log.Print(err)
			}
		}()
	}
}
