import { Context } from '@temporalio/activity';
import { digestContent } from '../domain/digest.ts';
import { digestPeriod } from '../domain/digest-period.ts';
import type { NotifyStep } from '../domain/notify.ts';
import type { Notifier } from '../integrations/notify.ts';
import type { Gathered, NotificationStore } from '../stores/notifications.ts';
import { beating } from './beating.ts';
import type { FleetReader } from './fleet-view.ts';

export interface NotificationDeps {
  notifications: NotificationStore;
  fleet: FleetReader;
}

export interface NotifyDeps extends NotificationDeps {
  notifier: Notifier;
  /** For tests: what to wait in place of what the rule says. */
  waitSeconds?: (ruled: number) => number;
}

/** Of the coordination queue: what is to be told. */
export function createNotificationActivities({ notifications, fleet }: NotificationDeps) {
  return {
    /** Done twice, the second finds what the first has made. */
    async gatherNotifications(): Promise<Gathered> {
      const { ownerId, fleet: applied } = await fleet();
      return notifications.gather({ ownerId, fleetName: applied.name, notify: applied.notify });
    },

    /** Of the local day that has ended by `until` (ISO); done twice, the second finds what the first has made. */
    async composeDigest({ until: asked }: { until: string }): Promise<{ messages: number }> {
      const { ownerId, fleet: applied } = await fleet();
      const { digest, destinations } = applied.notify;
      if (digest === undefined) return { messages: 0 };
      const { since, until } = digestPeriod(digest, asked);
      const day = await notifications.day({ ownerId, since, until });
      const content = digestContent(applied.name, day, digest.timeZone);
      const to = destinations.map(({ id }) => id).filter((id) => digest.to?.includes(id) ?? true);
      return { messages: await notifications.queueDigest({ ownerId, until, content, to }) };
    },
  };
}
export type NotificationActivities = ReturnType<typeof createNotificationActivities>;

/** Of the channel of its own: what leaves. */
export function createNotifyActivities({ notifications, fleet, notifier, waitSeconds = (ruled) => ruled }: NotifyDeps) {
  return {
    /** One try. Done twice it goes out twice, under the same id. */
    async tryNotification({ notificationId }: { notificationId: string }): Promise<NotifyStep> {
      const { cancellationSignal: signal } = Context.current();
      return beating(async () => {
        const turn = await notifications.begin(notificationId);
        if ('step' in turn) return turn.step;
        const { notify, name } = (await fleet()).fleet;
        const { destination: to, kind, content, createdAt } = turn.send;
        const destination = notify.destinations.find(({ id }) => id === to);
        if (destination === undefined)
          return notifications.giveUp(notificationId, `fleet.yaml names no destination ${to} any more`);
        const answer = await notifier.send(destination, {
          id: notificationId,
          kind,
          fleet: name,
          at: createdAt,
          content,
          allowPrivate: notify.allowPrivate,
          signal,
        });
        return waiting(await notifications.end(turn.send, answer));
      });
    },

    /** @returns why the heartbeat was not heard, or not sent; empty: it was heard */
    async beat(): Promise<{ reason: string }> {
      const { ownerId, fleet: applied } = await fleet();
      const { heartbeat, allowPrivate } = applied.notify;
      if (heartbeat === undefined) return { reason: 'fleet.yaml names no heartbeat' };
      // Silence is what tells those outside.
      if (!(await notifications.works(ownerId))) return { reason: 'no machine works' };
      const reason = await notifier.beat(heartbeat.url, allowPrivate);
      await notifications.noteHeartbeat(ownerId, reason);
      return { reason: reason ?? '' };
    },
  };

  function waiting(step: NotifyStep): NotifyStep {
    return step.againInSeconds === undefined ? step : { ...step, againInSeconds: waitSeconds(step.againInSeconds) };
  }
}
export type NotifyActivities = ReturnType<typeof createNotifyActivities>;
