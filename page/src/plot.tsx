// Lines over time. uPlot draws on a canvas and takes its colours from the page.
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { number } from "./parts.js";

export interface Line {
  title: string;
  /** The name of a colour in page.css. */
  colour: string;
  values: (number | null)[];
  scale?: string;
}

export function Plot({ title, times, lines }: { title: string; times: number[]; lines: Line[] }): JSX.Element {
  const element = useRef<HTMLDivElement>(null);
  const last = lines.map((line) => `${line.title} ${number(line.values[line.values.length - 1] ?? 0)}`).join(", ");
  useEffect(() => {
    const parent = element.current;
    if (parent === null) return undefined;
    const look = getComputedStyle(parent);
    const colour = (name: string): string => look.getPropertyValue(`--${name}`).trim();
    const axis = { stroke: colour("quiet"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line") } };
    const scales = [...new Set(lines.map((line) => line.scale ?? "y"))];
    const plot = new uPlot(
      {
        width: parent.clientWidth,
        height: 180,
        cursor: { y: false },
        series: [{}, ...lines.map((line) => ({ label: line.title, scale: line.scale ?? "y", stroke: colour(line.colour), width: 2, points: { show: times.length < 30 } }))],
        axes: [axis, ...scales.map((scale, n) => ({ ...axis, scale, side: n === 0 ? (3 as const) : (1 as const), size: 60, grid: { ...axis.grid, show: n === 0 } }))],
      },
      [times, ...lines.map((line) => line.values)] as uPlot.AlignedData,
      parent,
    );
    const observer = new ResizeObserver(() => plot.setSize({ width: parent.clientWidth, height: 180 }));
    observer.observe(parent);
    return () => {
      observer.disconnect();
      plot.destroy();
    };
  }, [JSON.stringify([times, lines])]);
  return (
    <figure>
      <figcaption>{title}</figcaption>
      <div class="plot" ref={element} role="img" aria-label={`${title}. Now: ${last}.`} />
    </figure>
  );
}
