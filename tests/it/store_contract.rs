//! What every `Store` must do: one suite, run on each implementation by `store_contract!`.
//! A case gets a fixture with an empty store of its own and may open it more than once: a second
//! handle is what another process, or the next start, would see.

use meltd::ports::Store;

pub(crate) mod access;
pub(crate) mod adopt;
pub(crate) mod append;
pub(crate) mod build;
pub(crate) mod crash;
pub(crate) mod desk;
pub(crate) mod lease;
pub(crate) mod outbox;
pub(crate) mod proofs;
pub(crate) mod query;
pub(crate) mod race;
pub(crate) mod relay;

/// An empty store, and the way to open it.
pub(crate) trait Fixture: Sized {
    /// The implementation under test.
    type Store: Store;

    /// A fresh, empty store: a new file, a new database.
    async fn fresh() -> Self;

    /// Opens it. Each call gives an independent handle on the same data.
    async fn open(&self) -> Self::Store;

    /// Removes it after a case that passed.
    async fn remove(self) {}
}

/// Expands to one test per case of the suite: `store_contract!(MyFixture);`.
macro_rules! store_contract {
    ($fixture:ty) => {
        store_contract!(@group $fixture, adopt:
            wallet_is_created_once,
            wallets_are_listed_by_owner,
            adopt_makes_a_leased_head,
            same_command_gets_the_same_head,
            command_id_with_other_parameters_is_refused,
            command_ids_are_scoped_by_producer,
            an_invoice_is_claimed_over_all_wallets_and_producers,
            an_intent_is_claimed_within_its_producer,
            keys_are_looked_at_in_order,
            known_is_what_adoption_would_answer,
            released_claims_are_free,
            kept_claims_are_permanent,
            a_reconciliation_claims_its_wallet,
            concurrent_adopts_of_one_command_make_one_head,
            concurrent_adopts_of_one_invoice_make_one_head,
        );
        store_contract!(@group $fixture, append:
            append_writes_head_events_outbox_and_proofs,
            several_records_are_one_append,
            wrong_version_is_reload_and_writes_nothing,
            stale_fence_is_reload_and_writes_nothing,
            an_append_that_was_written_is_reload,
            a_lease_that_is_over_but_not_taken_still_writes,
            an_append_resets_the_attempts,
            a_malformed_append_is_unusable_and_writes_nothing,
            sealed_proofs_are_erased,
            acknowledged_writes_survive_a_reopen,
        );
        store_contract!(@group $fixture, proofs:
            coins_in_another_state_are_named_and_nothing_is_written,
            coins_of_another_saga_or_wallet_are_named,
            a_coin_that_does_not_exist_is_named,
            reserve_and_send_in_one_append_is_one_move,
            a_released_coin_is_free_for_others,
            a_spent_coin_never_comes_back,
            a_coin_found_twice_is_adopted,
            a_coin_of_another_wallet_is_a_conflict,
            a_coin_with_another_signature_is_a_conflict,
            an_amount_that_does_not_fit_is_unusable,
        );
        store_contract!(@group $fixture, race:
            two_writers_of_one_version_have_one_winner,
            sagas_that_want_the_same_coins_have_one_winner,
            overlapping_choices_never_share_a_coin,
            conflicts_in_a_crowd_fail_alone,
            counters_are_never_handed_out_twice,
            concurrent_leases_have_one_holder,
            two_handles_share_one_truth,
        );
        store_contract!(@group $fixture, lease:
            a_held_lease_is_not_given,
            a_lease_that_is_over_is_given_with_the_next_fence,
            a_lease_ends_by_itself,
            the_old_holder_can_neither_renew_nor_release,
            a_released_lease_is_free,
            no_progress_is_remembered_and_put_off,
            due_is_ordered_limited_and_skips_leased_sagas,
            done_is_never_due,
            parked_and_owing_are_due,
        );
        store_contract!(@group $fixture, desk:
            a_doubt_is_kept_until_the_next_pass_or_event,
            due_leaves_mints_out_and_begins_at_either_end,
            a_pause_is_seen_by_all_until_it_is_ended,
        );
        store_contract!(@group $fixture, outbox:
            the_outbox_is_ordered_and_emptied,
            a_reply_is_a_row_behind_its_record,
            a_failed_append_leaves_no_row,
            a_row_that_failed_waits_and_is_due_again,
            a_parked_row_stays_until_it_is_let_go,
            the_depth_counts_what_is_there,
            rows_come_back_in_a_new_round,
            only_sagas_that_changed_since_come_back,
            whoever_waits_is_woken_by_an_append,
        );
        store_contract!(@group $fixture, relay:
            the_mark_only_moves_forwards_by_settling,
            a_new_stream_replaces_the_mark,
            an_old_holder_neither_marks_nor_takes_away,
            checkpoints_are_kept_and_forgotten,
            a_named_lease_has_one_holder,
            a_named_lease_ends_and_is_taken_with_the_next_epoch,
        );
        store_contract!(@group $fixture, query:
            counters_are_ranges_without_gaps_of_their_own,
            counters_do_not_overflow,
            counters_are_raised_and_never_lowered,
            a_stamp_is_written_once,
            a_new_store_is_healthy,
            heads_are_filtered_and_paged,
            proofs_are_filtered_by_state,
            unknown_sagas_are_none,
            heads_are_listed_from_the_newest_and_by_their_change,
            the_dump_holds_everything,
        );
        store_contract!(@group $fixture, access:
            a_token_is_found_by_its_hash,
            a_token_is_revoked_once,
            an_id_is_used_once,
        );
    };
    (@group $fixture:ty, $group:ident: $($case:ident,)*) => {
        mod $group {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $case() {
                    use $crate::store_contract::Fixture as _;
                    let fixture = <$fixture>::fresh().await;
                    $crate::store_contract::$group::$case(&fixture).await;
                    fixture.remove().await;
                }
            )*
        }
    };
}
