// What several views are made of.
import { options, type ComponentChildren, type JSX } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { isCurrent, type List } from "./account.js";
import { Refused, stillTheirs, type Session } from "./api.js";

const LOCAL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const TO_THE_SECOND = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const AGO = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const NUMBER = new Intl.NumberFormat();

export function number(value: number): string {
  return NUMBER.format(value);
}

function utc(time: Date): string {
  return `${time.toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

function ago(at: number, now: number): string {
  const seconds = Math.round((at - now) / 1000);
  const size = Math.abs(seconds);
  if (size < 90) return AGO.format(seconds, "second");
  if (size < 90 * 60) return AGO.format(Math.round(seconds / 60), "minute");
  if (size < 36 * 3600) return AGO.format(Math.round(seconds / 3600), "hour");
  return AGO.format(Math.round(seconds / 86_400), "day");
}

/** A time in the reader's zone, where only text may stand and nothing tells two in the same minute apart. */
export function local(at: string): string {
  return TO_THE_SECOND.format(new Date(at));
}

/** A time in the reader's zone, with UTC where the pointer rests on it. */
export function Time({ at }: { at: string | null | undefined }): JSX.Element {
  if (at === null || at === undefined) return <span>–</span>;
  const time = new Date(at);
  if (Number.isNaN(time.getTime())) return <span>{at}</span>;
  return (
    <time dateTime={time.toISOString()} title={utc(time)}>
      {at.length <= 10 ? at : LOCAL.format(time)}
    </time>
  );
}

/** A day in UTC: what is kept by the day has no time of it, which another zone would turn into the day before. */
export function Day({ at }: { at: string | null | undefined }): JSX.Element {
  if (at === null || at === undefined) return <span>–</span>;
  const day = at.slice(0, 10);
  return (
    <time dateTime={day} title={`${day}, in UTC`}>
      {day}
    </time>
  );
}

/** The time of day alone, of what ends within a day. */
export function Clock({ at }: { at: string }): JSX.Element {
  const time = new Date(at);
  return (
    <time dateTime={at} title={utc(time)}>
      {CLOCK.format(time)}
    </time>
  );
}

/** A name that somebody else chose: whatever way it is written, it turns nothing round that stands beside it, the address that follows it included. */
export function Name({ of }: { of: string }): JSX.Element {
  const [, name, address] = /^(.+) (<[^<>]+>)$/su.exec(of) ?? [];
  if (name === undefined) return <bdi>{of}</bdi>;
  return (
    <bdi dir="ltr">
      <bdi>{name}</bdi> <bdi dir="ltr">{address}</bdi>
    </bdi>
  );
}

/** How long ago that is, with the time in UTC where the pointer rests on it. */
export function Ago({ at }: { at: string }): JSX.Element {
  const time = new Date(at);
  return (
    <time dateTime={at} title={utc(time)}>
      {ago(time.getTime(), Date.now())}
    </time>
  );
}

export function Problem({ error }: { error: unknown }): JSX.Element | null {
  if (error === null || error === undefined) return null;
  const refused = error instanceof Refused ? error : null;
  const text = error instanceof Error ? error.message : String(error);
  return (
    <p class="problem" role="alert">
      {text} {refused !== null && refused.code !== "error" ? <code>{refused.code}</code> : null}
    </p>
  );
}

/** A sentence that somebody has to hear before they go on. */
export function Caution({ children }: { children: ComponentChildren }): JSX.Element {
  return (
    <p class="problem" role="alert">
      {children}
    </p>
  );
}

export function Empty({ children }: { children: ComponentChildren }): JSX.Element {
  return <p class="empty">{children}</p>;
}

/** What stands behind the number of what is there of a list, while there may be more, or a newer one. */
export function readingOn({ complete, error, renewing }: List<unknown>): string {
  return error !== null ? "" : !complete ? ", reading on…" : renewing ? ", reading again…" : "";
}

/** Where something is not on a list of these: as far as that was read, which is no proof that it is nowhere. */
export function Unlisted({ what, list }: { what: string; list: List<unknown> }): JSX.Element {
  if (list.error !== null) return <Problem error={list.error} />;
  if (!list.complete || list.renewing) return <p role="status">Looking…</p>;
  return (
    <Empty>
      It is not in the list of {what} as read at <Time at={list.at} />. It may be newer than that, or on no list.
    </Empty>
  );
}

/** That a list is not whole yet, or why it will not be, where it stands under no table of its own. */
export function ReadingOn({ of }: { of: List<unknown> }): JSX.Element | null {
  return of.complete ? null : of.error === null ? <p role="status">Reading on…</p> : <Problem error={of.error} />;
}

/** Why what is shown may not be all. */
export function Lacking({ why }: { why: string[] }): JSX.Element {
  return (
    <>
      {why.map((each) => (
        <Caution key={each}>Not all of this is known: {each}</Caution>
      ))}
    </>
  );
}

/** A number that was counted, as far as it goes: while not everything was looked at, more may come; of what cannot be read nobody knows how much more there is. */
export function counted(n: number, isWhole: boolean, isLacking: boolean): string {
  return isWhole && !isLacking ? String(n) : isWhole || n > 0 ? `${n}+` : "…";
}

/** A column of a table. */
export interface Column<T> {
  title: string;
  /** What it is sorted and searched by. */
  text: (row: T) => string;
  show?: (row: T) => ComponentChildren;
  /** Its share of the width. */
  width: number;
  numeric?: boolean;
}

const ROW = 34;
const AROUND = 12;

/** On paper a table has its first rows, this many at most: some fifty pages. */
const ON_PAPER = 2_000;

/** Whether the page is being printed. What is drawn for paper has to stand there before the browser goes on. */
function usePrinting(): boolean {
  const [printing, setPrinting] = useState(false);
  useEffect(() => {
    const now = (is: boolean) => (): void => {
      const before = options.debounceRendering;
      options.debounceRendering = (draw) => draw();
      setPrinting(is);
      options.debounceRendering = before!;
    };
    const [begin, end] = [now(true), now(false)];
    addEventListener("beforeprint", begin);
    addEventListener("afterprint", end);
    return () => {
      removeEventListener("beforeprint", begin);
      removeEventListener("afterprint", end);
    };
  }, []);
  return printing;
}

const COLLATOR = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

/** The rows that are wanted, in their order. A list that grows is not sorted from the beginning each time: what is new goes in between. */
class Order<T> {
  private static made = 0;
  /** Tells it from every other one. */
  readonly number = (Order.made += 1);
  private taken: T[] = [];
  private sorted: { row: T; key: string }[] = [];

  constructor(
    private readonly isWanted: (row: T) => boolean,
    private readonly key: ((row: T) => string) | undefined,
    private readonly down: boolean,
  ) {}

  of(items: T[]): T[] {
    const { taken } = this;
    const last = taken.length - 1;
    const grew = taken.length <= items.length && taken[0] === items[0] && taken[last] === items[last];
    const fresh = (grew ? items.slice(taken.length) : items).filter(this.isWanted).map((row) => ({ row, key: this.key?.(row) ?? "" }));
    const before = grew ? this.sorted : [];
    if (this.key !== undefined) fresh.sort((one, other) => this.compare(one.key, other.key));
    this.taken = items;
    this.sorted = this.key === undefined || before.length === 0 ? before.concat(fresh) : this.merged(before, fresh);
    return this.sorted.map(({ row }) => row);
  }

  private compare(one: string, other: string): number {
    return (this.down ? -1 : 1) * COLLATOR.compare(one, other);
  }

  private merged(before: { row: T; key: string }[], fresh: { row: T; key: string }[]): { row: T; key: string }[] {
    const all: { row: T; key: string }[] = [];
    let at = 0;
    for (const next of fresh) {
      // Equal ones stay in the order in which they came.
      let [low, high] = [at, before.length];
      while (low < high) {
        const middle = (low + high) >>> 1;
        if (this.compare(before[middle]!.key, next.key) <= 0) low = middle + 1;
        else high = middle;
      }
      for (; at < low; at += 1) all.push(before[at]!);
      all.push(next);
    }
    for (; at < before.length; at += 1) all.push(before[at]!);
    return all;
  }
}

/** A table that shows the rows in sight alone, so that fifty thousand take no longer than fifty. */
export function Table<T>(props: {
  name: string;
  columns: Column<T>[];
  list: List<T>;
  rowKey: (row: T) => string;
  /** Where the row's own view is; nothing where it has none. */
  href?: (row: T) => string | null;
  filters?: Record<string, (row: T) => boolean>;
  empty: ComponentChildren;
}): JSX.Element {
  const { columns, list, rowKey, href } = props;
  const [search, setSearch] = useState("");
  const [filter, setFilter] = useState("");
  const [sort, setSort] = useState<{ column: number; down: boolean }>({ column: 0, down: false });
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(600);
  const view = useRef<HTMLDivElement>(null);

  const order = useMemo(() => {
    const wanted = search.normalize("NFKC").toLowerCase().trim();
    const passes = props.filters?.[filter];
    const isWanted = (row: T): boolean =>
      (passes === undefined || passes(row)) &&
      (wanted === "" || columns.some((column) => column.text(row).normalize("NFKC").toLowerCase().includes(wanted)));
    return new Order(isWanted, columns[sort.column]?.text, sort.down);
  }, [search, filter, sort, columns]);
  const rows = useMemo(() => order.of(list.items), [order, list.items]);
  // Another order is read from its beginning.
  useLayoutEffect(() => view.current?.scrollTo(0, 0), [order]);

  useLayoutEffect(() => {
    const element = view.current;
    if (element === null) return undefined;
    const measure = (): void => setHeight(element.clientHeight);
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  const printing = usePrinting();
  const sight = Math.ceil(height / ROW) + 2 * AROUND;
  // Where a search leaves fewer rows than were scrolled past, those are shown.
  const first = printing ? 0 : Math.max(0, Math.min(Math.floor(top / ROW) - AROUND, rows.length - sight));
  const shown = rows.slice(first, printing ? ON_PAPER : first + sight);
  const whole = columns.reduce((sum, column) => sum + column.width, 0);
  const cell = (column: Column<T>): string => `cell w${Math.round((column.width / whole) * 20)}${column.numeric ? " numeric" : ""}`;

  return (
    <section class="table-view" aria-label={props.name}>
      <div class="tools">
        <label>
          <span class="hidden">Search {props.name}</span>
          <input type="search" placeholder={`Search ${props.name}`} value={search} onInput={(event) => setSearch(event.currentTarget.value)} />
        </label>
        {props.filters === undefined ? null : (
          <label>
            <span class="hidden">Show</span>
            <select value={filter} onChange={(event) => setFilter(event.currentTarget.value)}>
              <option value="">All</option>
              {Object.keys(props.filters).map((title) => (
                <option key={title}>{title}</option>
              ))}
            </select>
          </label>
        )}
        <span class="count" role="status">
          {rows.length === list.items.length ? number(rows.length) : `${number(rows.length)} of ${number(list.items.length)}`}
          {readingOn(list)}
        </span>
      </div>
      <Problem error={list.error} />
      <div class="rows" ref={view} tabIndex={0} role="table" aria-label={props.name} aria-rowcount={rows.length + 1} onScroll={(event) => setTop(event.currentTarget.scrollTop)}>
        <div role="rowgroup" class="head">
          <div role="row" class="row" aria-rowindex={1}>
            {columns.map((column, n) => (
              <div key={column.title} role="columnheader" class={cell(column)} aria-sort={sort.column === n ? (sort.down ? "descending" : "ascending") : "none"}>
                <button type="button" onClick={() => setSort({ column: n, down: sort.column === n && !sort.down })}>
                  {column.title}
                  <span aria-hidden="true">{sort.column === n ? (sort.down ? " ↓" : " ↑") : ""}</span>
                </button>
              </div>
            ))}
          </div>
        </div>
        {/* Rows of another order are other rows: moved one by one, some were lost on the way. */}
        <Space key={order.number} before={first * ROW} after={printing ? 0 : Math.max(0, rows.length - first - shown.length) * ROW}>
          {shown.map((row, n) => (
            <div role="row" class="row" key={rowKey(row)} aria-rowindex={first + n + 2}>
              {columns.map((column, at) => (
                <div role="cell" class={cell(column)} key={column.title}>
                  {at === 0 ? <Way to={href?.(row) ?? null}>{(column.show ?? column.text)(row)}</Way> : (column.show ?? column.text)(row)}
                </div>
              ))}
            </div>
          ))}
        </Space>
        {printing && rows.length > ON_PAPER ? <p>The first {number(ON_PAPER)} of {number(rows.length)}.</p> : null}
        {rows.length === 0 && isCurrent(list) ? <Empty>{list.items.length === 0 ? props.empty : "Nothing matches; take the search or the filter away."}</Empty> : null}
      </div>
    </section>
  );
}

/** What leads somewhere, where there is something to lead to. */
function Way({ to, children }: { to: string | null; children: ComponentChildren }): JSX.Element {
  return to === null ? <>{children}</> : <a href={to}>{children}</a>;
}

/** Room for the rows out of sight. The policy of the page allows no style in the markup, so it is set by script. */
function Space({ before, after, children }: { before: number; after: number; children: ComponentChildren }): JSX.Element {
  const element = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    element.current?.style.setProperty("padding-top", `${before}px`);
    element.current?.style.setProperty("padding-bottom", `${after}px`);
  }, [before, after]);
  return (
    <div role="rowgroup" ref={element}>
      {children}
    </div>
  );
}

/** Asks again and again while it is in sight: soon while something runs, seldom while nothing does. */
export function usePolled<T>(read: () => Promise<T>, soon: (value: T | null) => boolean): { value: T | null; error: unknown; again: () => void } {
  const [value, setValue] = useState<T | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let over = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const once = async (): Promise<void> => {
      let latest: T | null = null;
      try {
        latest = await read();
        if (!over) {
          setValue(latest);
          setError(null);
        }
      } catch (failed) {
        if (!over) setError(failed);
      }
      if (!over) timer = setTimeout(() => void once(), document.hidden ? 60_000 : soon(latest) ? 1_500 : 15_000);
    };
    void once();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [turn]);
  return { value, error, again: () => setTurn((n) => n + 1) };
}

/** A question before something is changed. It can be cancelled until it is sent, and then be closed: what is sent goes on. */
export function Confirm(props: {
  title: string;
  children: ComponentChildren;
  act: string;
  danger?: boolean;
  /** Whether what it would change is told. */
  ready?: boolean;
  /** What is looked at once more before a change of access is sent. */
  check?: () => Promise<void>;
  /** Sends it. */
  onAct: () => Promise<string>;
  /** Whose page it is: nothing is sent by anybody else's session. */
  session: Session;
  /** Told what went wrong with what was sent, where it was closed before. */
  onLost: (error: unknown) => void;
  onClose: () => void;
}): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  const [state, setState] = useState<"asked" | "checking" | "sent" | "done">("asked");
  const [said, setSaid] = useState("");
  const [error, setError] = useState<unknown>(null);
  useEffect(() => dialog.current?.showModal(), []);
  const act = async (): Promise<void> => {
    setState("checking");
    setError(null);
    let isSent = false;
    try {
      await props.check?.();
      // As late as can be: whoever has the session is who does it.
      await stillTheirs(props.session);
      // Whoever closed it meanwhile does not want it any more.
      if (dialog.current?.open !== true) return;
      setState("sent");
      isSent = true;
      setSaid(await props.onAct());
      setState("done");
    } catch (failed) {
      if (isSent && dialog.current?.open !== true) props.onLost(failed);
      setError(failed);
      setState("asked");
    }
  };
  return (
    <dialog ref={dialog} aria-label={props.title} onClose={props.onClose}>
      <h2>{props.title}</h2>
      {state === "done" ? <p role="status">{said}</p> : props.children}
      {state === "sent" ? <p role="status">It is sent and goes on when this is closed{props.check === undefined ? "" : ": Operations tells what becomes of it, where it arrived"}.</p> : null}
      <Problem error={error} />
      <div class="buttons">
        <button type="button" aria-label={state === "sent" ? "Close, and let it go on" : undefined} onClick={() => dialog.current?.close()}>
          {state === "sent" || state === "done" ? "Close" : "Cancel"}
        </button>
        {state === "done" ? null : (
          <button type="button" class={props.danger ? "danger" : "primary"} disabled={state !== "asked" || props.ready === false} onClick={() => void act()}>
            {state === "asked" ? props.act : "Working…"}
          </button>
        )}
      </div>
    </dialog>
  );
}
