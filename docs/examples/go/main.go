// A shop's side of payment requests, with pgx.
//
// usage: shop create ADDRESS AMOUNT SECONDS | wait ID SECONDS | ship ID | cancel ID | extend ID SECONDS
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
)

func create(ctx context.Context, db *pgx.Conn, args []string) (string, error) {
	var id string
	// Amounts stay text: a float has 53 bits, a token 18 decimals.
	err := db.QueryRow(ctx, `INSERT INTO payment_requests (pay_to, amount, expires_at)
		VALUES ($1, $2::text::numeric, now() + $3::text::interval) RETURNING id::text`,
		args[0], args[1], args[2]+" seconds").Scan(&id)
	return id, err
}

func look(ctx context.Context, db *pgx.Conn, id string) (status, paid string, err error) {
	err = db.QueryRow(ctx, `SELECT status, trim_scale(coalesce(received, 0)) || ' of ' || trim_scale(amount)
		FROM payment_requests WHERE id = $1::text::bigint`, id).Scan(&status, &paid)
	return
}

func wait(ctx context.Context, db *pgx.Conn, args []string) (string, error) {
	limit, err := time.ParseDuration(args[1] + "s")
	if err != nil {
		return "", err
	}
	deadline := time.Now().Add(limit)
	// Before the first look: what happens in between is not missed.
	if _, err := db.Exec(ctx, "LISTEN reconciler"); err != nil {
		return "", err
	}
	for {
		status, paid, err := look(ctx, db, args[0])
		left := time.Until(deadline)
		if err != nil || status == "paid" || status == "expired" || status == "cancelled" || left <= 0 {
			return status + " " + paid, err
		}
		// A hint, from whomever: look again. And now and then without one.
		if left > 10*time.Second {
			left = 10 * time.Second
		}
		hint, stop := context.WithTimeout(ctx, left)
		_, err = db.WaitForNotification(hint)
		stop()
		if err != nil && hint.Err() == nil {
			return "", err
		}
	}
}

func ship(ctx context.Context, db *pgx.Conn, args []string) (string, error) {
	shipped := "not shipped"
	err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		// The key of shipments decides, in the transaction that ships.
		tag, err := tx.Exec(ctx, `INSERT INTO shipments (request_id)
			SELECT id FROM payment_requests WHERE id = $1::text::bigint AND status = 'paid'
			ON CONFLICT DO NOTHING`, args[0])
		if err == nil && tag.RowsAffected() == 1 {
			shipped = "shipped"
		}
		return err
	})
	return shipped, err
}

func cancel(ctx context.Context, db *pgx.Conn, args []string) (string, error) {
	tag, err := db.Exec(ctx, `UPDATE payment_requests SET status = 'cancelled'
		WHERE id = $1::text::bigint AND status = 'awaiting_payment'`, args[0])
	if err == nil && tag.RowsAffected() == 1 {
		return "cancelled", nil
	}
	return "not cancelled", err
}

func extend(ctx context.Context, db *pgx.Conn, args []string) (string, error) {
	tag, err := db.Exec(ctx, `UPDATE payment_requests
		SET status = 'awaiting_payment', expires_at = now() + $2::text::interval
		WHERE id = $1::text::bigint AND status = 'expired'`, args[0], args[1]+" seconds")
	if err == nil && tag.RowsAffected() == 1 {
		return "extended", nil
	}
	return "not extended", err
}

func run(ctx context.Context, args []string) (string, error) {
	commands := map[string]func(context.Context, *pgx.Conn, []string) (string, error){
		"create": create, "wait": wait, "ship": ship, "cancel": cancel, "extend": extend}
	arguments := map[string]int{"create": 3, "wait": 2, "ship": 1, "cancel": 1, "extend": 2}
	if len(args) < 1 || commands[args[0]] == nil || len(args) != arguments[args[0]]+1 {
		return "", fmt.Errorf("usage: create ADDRESS AMOUNT SECONDS | wait ID SECONDS | ship ID | cancel ID | extend ID SECONDS")
	}
	db, err := pgx.Connect(ctx, "") // PGHOST, PGPORT, PGUSER, PGDATABASE
	if err != nil {
		return "", err
	}
	defer db.Close(ctx)
	return commands[args[0]](ctx, db, args[1:])
}

func main() {
	result, err := run(context.Background(), os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(result)
}
