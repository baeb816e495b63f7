//go:build ignore

// Sends frames of the given sizes and checks that each comes back:
//
//	go run client.go 7007 0 5 25600 1048576
package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
)

// No server sends a longer frame.
const maxFrame = 64 << 20

func send(conn *net.TCPConn, payloads [][]byte) {
	for _, payload := range payloads {
		head := binary.BigEndian.AppendUint32(nil, uint32(len(payload)))
		if _, err := conn.Write(append(head, payload...)); err != nil {
			return // The replies say why.
		}
	}
	conn.CloseWrite()
}

// The next reply. The top bit marks an ERROR, which says why the server ends the connection.
func receive(reader io.Reader) []byte {
	var head uint32
	check(binary.Read(reader, binary.BigEndian, &head))
	length := head &^ (1 << 31)
	if length > maxFrame {
		log.Fatalf("a frame of %d bytes", length)
	}
	body := make([]byte, length)
	_, err := io.ReadFull(reader, body)
	check(err)
	if head>>31 == 1 {
		log.Fatalf("%s", body[12:])
	}
	return body
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	payloads := make([][]byte, len(os.Args)-2)
	for i, arg := range os.Args[2:] {
		size, err := strconv.Atoi(arg)
		check(err)
		payloads[i] = make([]byte, size)
		_, err = rand.Read(payloads[i])
		check(err)
	}
	conn, err := net.Dial("tcp", "127.0.0.1:"+os.Args[1])
	check(err)
	// All are in flight at once. A goroutine of its own sends them, because a server whose replies
	// nobody reads takes no more frames.
	go send(conn.(*net.TCPConn), payloads)
	reader := bufio.NewReader(conn)
	for _, payload := range payloads {
		if !bytes.Equal(receive(reader), payload) {
			log.Fatal("something else came back")
		}
	}
	if _, err := reader.ReadByte(); err != io.EOF {
		log.Fatal("more came back than was sent")
	}
	fmt.Println(len(payloads), "frames came back")
}
